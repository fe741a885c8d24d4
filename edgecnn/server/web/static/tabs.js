// Tabs as in the ARIA Authoring Practices: the arrow keys select the next or previous tab and show its panel.

/** Set up a tab list. Calls `onShow` with the id of each shown panel. Returns a function that shows a panel by id. */
export function setUpTabs(list, onShow) {
  const visibleTabs = () => [...list.querySelectorAll("[role=tab]")].filter((tab) => !tab.hidden);

  function show(id) {
    for (const tab of list.querySelectorAll("[role=tab]")) {
      const panel = tab.getAttribute("aria-controls");
      tab.setAttribute("aria-selected", String(panel === id));
      tab.tabIndex = panel === id ? 0 : -1;
      document.getElementById(panel).hidden = panel !== id;
    }
    onShow(id);
  }

  list.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) show(tab.getAttribute("aria-controls"));
  });
  list.addEventListener("keydown", (event) => {
    const all = visibleTabs();
    const index = all.indexOf(event.target);
    const last = all.length - 1;
    const next = { ArrowRight: (index + 1) % all.length, ArrowLeft: index > 0 ? index - 1 : last, Home: 0, End: last };
    if (index < 0 || !(event.key in next)) return;
    event.preventDefault();
    const tab = all[next[event.key]];
    show(tab.getAttribute("aria-controls"));
    tab.focus();
  });
  return show;
}
