// Keyboard: one element of a group is in the tab order, and arrow keys move between them.

const FORWARD = ["ArrowDown", "ArrowRight"];
const BACK = ["ArrowUp", "ArrowLeft"];

/** Let arrow keys, Home and End move the focus between the elements that match a selector in a container. */
export function moveByArrows(container, selector) {
  const items = () => [...container.querySelectorAll(selector)];
  const enter = (item) => {
    for (const other of items()) other.tabIndex = other === item ? 0 : -1;
  };
  items().forEach((item, index) => (item.tabIndex = index === 0 ? 0 : -1));
  container.addEventListener("focusin", ({ target }) => {
    if (target.matches(selector)) enter(target);
  });
  container.addEventListener("keydown", (event) => {
    const all = items();
    const place = all.indexOf(event.target);
    if (place < 0) return;
    const next = target(event.key, place, all.length);
    if (next === null) return;
    event.preventDefault();
    event.stopPropagation();
    all[Math.min(Math.max(next, 0), all.length - 1)].focus();
  });
}

function target(key, place, count) {
  if (FORWARD.includes(key)) return place + 1;
  if (BACK.includes(key)) return place - 1;
  if (key === "Home") return 0;
  return key === "End" ? count - 1 : null;
}
