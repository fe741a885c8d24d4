// Draws grids of values on canvases, one canvas pixel a value, with an overlay of outlines.

import { make, makeSvg } from "./elements.js";
import { onThemeChange } from "./theme.js";
import { colorOf } from "./inside-colors.js";
import { magnitude } from "./inside-values.js";

const drawn = new Set();

onThemeChange(() => {
  for (const view of drawn) {
    if (view.canvas.isConnected) view.paint();
    else drawn.delete(view);
  }
});

/** Return a canvas on which `paint(canvas)` draws now and after each change of the theme. */
export function themedCanvas(attributes, paint) {
  const canvas = make("canvas", attributes);
  const view = { canvas, paint: () => paint(canvas) };
  view.paint();
  drawn.add(view);
  return canvas;
}

function paintGrid(canvas, grid, { isColor, range = magnitude(grid) }) {
  Object.assign(canvas, { height: grid.height, width: grid.width });
  const context = canvas.getContext("2d");
  const picture = context.createImageData(grid.width, grid.height);
  if (isColor) picture.data.set(grid.rgba);
  else {
    grid.values.forEach((value, index) => picture.data.set([...colorOf(value / range), 255], 4 * index));
  }
  context.putImageData(picture, 0, 0);
}

/**
 * Return a view of a grid: {element, show, mark, choose}.
 *
 * `show(grid, options)` draws the grid; its options are `isColor` (the bytes as they are), `range` (the largest
 * absolute value of the colours) and `label` (text alternative). `mark(rectangles)` outlines rectangles {top, left,
 * height, width, kind, fill}. With `onCell(y, x)`, the reader chooses a cell with the pointer or with the arrow keys;
 * `choose(y, x)` does it from a script.
 */
export function gridView({ onCell = null, kind = "" } = {}) {
  const role = onCell ? { role: "application", tabindex: "0" } : { role: "img" };
  const overlay = makeSvg("svg", { preserveAspectRatio: "none", "aria-hidden": "true" });
  const element = make("div", { class: `grid-view ${kind}`, ...role });
  const view = { element, grid: null, cell: { y: 0, x: 0 }, options: {}, canvas: null };
  view.show = (grid, options = {}) => {
    Object.assign(view, { grid, options });
    overlay.setAttribute("viewBox", `0 0 ${grid.width} ${grid.height}`);
    element.setAttribute("aria-label", options.label ?? "");
    element.style.setProperty("--ratio", `${grid.width} / ${grid.height}`);
    view.canvas?.remove();
    view.canvas = themedCanvas({}, (canvas) => paintGrid(canvas, grid, options));
    element.append(view.canvas, overlay);
  };
  view.mark = (rectangles) => overlay.replaceChildren(...rectangles.flatMap((each) => outline(each, view.grid)));
  if (onCell) chooseCells(view, onCell);
  return view;
}

/** Return two rectangles, a dark one and a light one, so that an outline is visible on every picture. */
function outline({ top, left, height, width, kind = "", fill = "none" }, grid) {
  const [y, x] = [Math.max(top, 0), Math.max(left, 0)];
  const end = [Math.min(top + height, grid.height), Math.min(left + width, grid.width)];
  if (end[0] <= y || end[1] <= x) return [];
  const shape = { x, y, width: end[1] - x, height: end[0] - y };
  return ["halo", "line"].map((part) => {
    const rectangle = makeSvg("rect", { ...shape, class: `${part} ${kind}` });
    rectangle.style.fill = fill;
    return rectangle;
  });
}

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

function chooseCells(view, onCell) {
  const choose = (y, x) => {
    if (!view.grid) return;
    const limited = (value, size) => Math.min(Math.max(value, 0), size - 1);
    view.cell = { y: limited(y, view.grid.height), x: limited(x, view.grid.width) };
    onCell(view.cell.y, view.cell.x);
  };
  view.choose = choose;
  const point = (event) => {
    const box = view.element.getBoundingClientRect();
    const place = (offset, length, size) => Math.floor((offset / length) * size);
    choose(
      place(event.clientY - box.top, box.height, view.grid?.height),
      place(event.clientX - box.left, box.width, view.grid?.width),
    );
  };
  view.element.addEventListener("pointermove", point);
  view.element.addEventListener("pointerdown", point);
  view.element.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    choose(view.cell.y + step[0], view.cell.x + step[1]);
  });
}

/** Return a figure: a caption, its content and, below, more content. */
export function captioned(caption, ...content) {
  return make("figure", {}, make("figcaption", {}, caption), ...content);
}

/** Return a legend of the colours for values from -range to range. */
export function colorLegend(range, format) {
  const paint = (canvas) => {
    Object.assign(canvas, { height: 1, width: 129 });
    const context = canvas.getContext("2d");
    for (let x = 0; x < 129; x += 1) {
      context.fillStyle = `rgb(${colorOf((x - 64) / 64).join(" ")})`;
      context.fillRect(x, 0, 1, 1);
    }
  };
  const ends = [format(-range), "0", format(range)].map((text) => make("span", {}, text));
  const scale = themedCanvas({ "aria-hidden": "true" }, paint);
  return make("div", { class: "color-legend" }, scale, make("div", {}, ...ends));
}
