// Flatten: the maps become one row. A cell of the row and its place in a map are linked, both ways.

import { make } from "./elements.js";
import { t } from "./words.js";
import { captioned, gridView } from "./inside-grid.js";
import { described } from "./inside-maps.js";
import { sources } from "./inside-network.js";
import { decode, magnitude, number, whole } from "./inside-values.js";
import { rowView } from "./inside-row.js";

/** Return the place {channel, y, x} of a cell of the row, for maps of a shape. */
export function placeOfCell(index, [, height, width]) {
  const within = index % (height * width);
  return { channel: Math.floor(index / (height * width)), y: Math.floor(within / width), x: within % width };
}

/** Return the maps before and the row after a flatten layer. */
export function flattenView(network, layer) {
  const source = sources(network, layer)[0];
  if (source?.shape.length !== 3 || !source.maps.length) return make("p", { class: "hint" }, t("explain.no_maps"));
  const part = make("div", { class: "part" });
  const maps = [...source.maps].sort((a, b) => a.channel - b.channel);
  Promise.all(maps.map(({ picture }) => decode(picture))).then((grids) =>
    part.append(...linked(source, layer, maps, grids)),
  );
  return part;
}

function linked(source, layer, maps, grids) {
  const range = magnitude(...grids);
  const [, height, width] = source.shape;
  const readout = make("p", { class: "readout", "aria-live": "polite" });
  const cells = height * width;
  const cellsShown = maps.flatMap(({ channel }) =>
    Array.from({ length: cells }, (_, index) => channel * cells + index),
  );
  const values = grids.flatMap((grid) => [...grid.values]);
  const read = (shown) => {
    const cell = cellsShown[shown];
    const place = placeOfCell(cell, source.shape);
    views.forEach((view, index) =>
      view.mark(maps[index].channel === place.channel ? [{ top: place.y, left: place.x, height: 1, width: 1 }] : []),
    );
    views.forEach((view, index) => view.element.classList.toggle("current", maps[index].channel === place.channel));
    const value = number(layer.values[cell] ?? values[shown]);
    Object.assign(readout.dataset, { cell, channel: place.channel, y: place.y, x: place.x });
    readout.textContent = t("explain.flatten.text", { cell, ...place, size: cells, width, value });
  };
  const rowLabel = t("explain.flatten.row.described", { n: whole(cellsShown.length) });
  const row = rowView(values, { label: `${rowLabel} ${t("explain.keys")}`, range, onValue: read });
  const views = grids.map((grid, index) => {
    const view = gridView({ onCell: (y, x) => row.choose(index * cells + y * width + x) });
    view.show(grid, { range, label: described(t("explain.map", { n: maps[index].channel }), grid) });
    return view;
  });
  row.choose(0);
  const tiles = views.map((view, index) => captioned(t("explain.map", { n: maps[index].channel }), view.element));
  const isPart = maps.length < source.shape[0];
  const caption = t(isPart ? "explain.flatten.part" : "explain.flatten.row", {
    n: whole(values.length),
    all: whole(layer.shape[0]),
  });
  return [make("div", { class: "small-figures" }, ...tiles), readout, captioned(caption, row.element)];
}
