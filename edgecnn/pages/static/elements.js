// Functions that find and create elements. Strings become text, never markup: labels and errors are untrusted input.

const SVG = "http://www.w3.org/2000/svg";

/** Return the element with an id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Return a new HTML element with attributes and children. String children become text. */
export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Return a new SVG element with attributes and children. */
export function makeSvg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Return a bar that is filled to a share from 0 to 1. Screen readers skip it and read the number next to it. */
export function bar(share, kind = "") {
  const inner = make("span", { class: "fill" });
  inner.style.setProperty("--share", Math.min(Math.max(share, 0), 1));
  return make("span", { class: `bar ${kind}`, "aria-hidden": "true" }, inner);
}
