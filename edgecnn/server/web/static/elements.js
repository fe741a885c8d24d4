// Elements of the page, made from values. Text becomes text and never markup: labels and errors come from elsewhere.

const SVG = "http://www.w3.org/2000/svg";

/** Return the element with an id, which the page has. */
export function byId(id) {
  return document.getElementById(id);
}

/** Return a new element with attributes; strings among the children become text. */
export function make(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** Return a new element of a drawing. */
export function draw(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Return a bar of which a share, 0 to 1, is filled; for eyes only, the number stands beside it. */
export function bar(share, kind = "") {
  const inner = make("span", { class: "fill" });
  inner.style.setProperty("--share", Math.min(Math.max(share, 0), 1));
  return make("span", { class: `bar ${kind}`, "aria-hidden": "true" }, inner);
}
