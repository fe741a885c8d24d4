// Tabs as the ARIA Authoring Practices have them: arrow keys go from one to the next, and show it.

/** Make a list of tabs work; `onShow` gets the id of the panel that is shown. Returns what shows a panel by its id. */
export function tabs(list, onShow) {
  const all = () => [...list.querySelectorAll("[role=tab]")].filter((tab) => !tab.hidden);

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
    const tabsNow = all();
    const here = tabsNow.indexOf(event.target);
    const last = tabsNow.length - 1;
    const next = { ArrowRight: (here + 1) % tabsNow.length, ArrowLeft: here > 0 ? here - 1 : last, Home: 0, End: last };
    if (here < 0 || !(event.key in next)) return;
    event.preventDefault();
    const tab = tabsNow[next[event.key]];
    show(tab.getAttribute("aria-controls"));
    tab.focus();
  });
  return show;
}
