// The chapter "Flatten": the place of each value of [C, H, W] in one row.

import { live, slider } from "./controls.js";
import { byId, make } from "./elements.js";
import { flatIndex, placeOf } from "./operations.js";
import { t } from "./words.js";

const COLORS = ["#e11d74", "#0e8f8a", "#d08a12", "#7c3aed"];

const size = {
  channels: slider("channels", resized), height: slider("height", resized), width: slider("width", resized),
};
const index = slider("index", showPlace);
let cells;

function shape() {
  return [size.channels(), size.height(), size.width()];
}

function resized() {
  const count = shape().reduce((product, side) => product * side, 1);
  byId("index").max = count - 1;
  index.set(Math.min(index(), count - 1));
  cells = { map: [], row: [] };
  byId("maps").replaceChildren(...Array.from({ length: size.channels() }, (_, channel) => mapOf(channel)));
  byId("row").replaceChildren(...Array.from({ length: count }, (_, place) => cellOf("row", place)));
  byId("length").textContent = t("learn.ops.flatten.length", { shape: shape().join(" × "), count });
  byId("torch").textContent = `nn.Flatten()  # [N, ${shape().join(", ")}] -> [N, ${count}]`;
  showPlace();
}

function mapOf(channel) {
  const grid = make("div", { class: "flat-map", "aria-hidden": "true" });
  grid.style.gridTemplateColumns = `repeat(${size.width()}, 1fr)`;
  for (let y = 0; y < size.height(); y += 1) {
    for (let x = 0; x < size.width(); x += 1) grid.append(cellOf("map", flatIndex(shape(), channel, y, x)));
  }
  return make("figure", {}, make("figcaption", {}, t("learn.ops.flatten.channel", { channel })), grid);
}

/** Return the cell of an index, in its map or in the row. */
function cellOf(kind, place) {
  const cell = make("span", { class: "flat-cell" }, String(place));
  cell.style.setProperty("--channel", COLORS[placeOf(shape(), place)[0]]);
  for (const name of ["pointerenter", "pointerdown"]) {
    cell.addEventListener(name, () => {
      index.set(place);
      showPlace();
    });
  }
  cells[kind][place] = cell;
  return cell;
}

function showPlace() {
  const [, height, width] = shape();
  const [c, y, x] = placeOf(shape(), index());
  for (const list of Object.values(cells)) {
    list.forEach((cell, place) => cell.classList.toggle("chosen", place === index()));
  }
  byId("formula").replaceChildren(
    `${c} × ${height} × ${width} + ${y} × ${width} + ${x} = `, make("b", {}, String(index())),
  );
  byId("place").textContent = t("learn.ops.flatten.place", { c, y, x, index: index() });
}

live(resized);
