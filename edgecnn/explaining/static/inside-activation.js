// A layer that changes each value by itself, or adds maps: the same map before and after, at the same pixel.

import { make } from "./elements.js";
import { t } from "./words.js";
import { captioned, colorLegend, gridView } from "./inside-grid.js";
import { valuesView } from "./inside-linear.js";
import { described, mapsView } from "./inside-maps.js";
import { IMAGE, nameOf, sources } from "./inside-network.js";
import { decode, magnitude, number } from "./inside-values.js";
import { percent } from "./wording.js";

const SIGNS = { add: "+", multiply: "×" };

/** Return the maps or values of a layer, beside those of its inputs. */
export function activationView(network, layer) {
  if (!layer.maps.length) return valuesView(network, layer);
  const inspect = (map) => pairs(layer, map, inputsOf(network, layer, map));
  return mapsView(network, layer, inspect);
}

/** Return the inputs' maps of the same channel; the image counts as the map of each channel. */
function inputsOf(network, layer, { channel }) {
  return sources(network, layer).flatMap((source) => {
    if (source.id === IMAGE) return [];
    const map = source.maps.find((each) => each.channel === channel);
    return map ? [{ source, map }] : [];
  });
}

/** Return views of the given inputs and of a layer's map; the reader chooses a pixel in one of them. */
export function pairs(layer, map, inputs) {
  const part = make("div", { class: "part" });
  Promise.all([...inputs.map((input) => decode(input.map.picture)), decode(map.picture)]).then((grids) => {
    part.append(...compared(layer, map, inputs, grids));
  });
  return part;
}

function compared(layer, map, inputs, grids) {
  const readout = make("p", { class: "readout", "aria-live": "polite" });
  const range = magnitude(...grids);
  const output = grids.at(-1);
  const read = (y, x) => {
    const texts = grids.map((grid) => number(valueAt(grid, output, y, x)));
    views.forEach((view, index) => view.mark([cellIn(grids[index], output, y, x)]));
    const before = texts.slice(0, -1).join(` ${SIGNS[layer.operation] ?? ","} `);
    const key = inputs.length ? "explain.pixel.before" : "explain.pixel";
    readout.textContent = t(key, { y, x, before, sign: SIGNS[layer.operation] ? "=" : "→", after: texts.at(-1) });
  };
  const views = grids.map((grid, index) => {
    const view = gridView({ onCell: read });
    const name = index < inputs.length ? nameOf(inputs[index].source) : nameOf(layer);
    view.show(grid, { range, label: `${described(name, grid)} ${t("explain.keys")}` });
    return view;
  });
  const figures = views.flatMap((view, index) => {
    const isLast = index === views.length - 1;
    const channel = isLast ? map.channel : inputs[index].map.channel;
    const name = isLast
      ? t("explain.after.map", { n: channel })
      : t("explain.input.of", { name: nameOf(inputs[index].source), n: channel });
    const sign =
      index === 0
        ? []
        : [
            make(
              "span",
              { class: "sign", "aria-hidden": "true" },
              isLast ? arrow(layer) : (SIGNS[layer.operation] ?? ""),
            ),
          ];
    return [...sign, captioned(name, view.element, ...(index === 0 ? [colorLegend(range, number)] : []))];
  });
  views.at(-1).choose(Math.floor(output.height / 2), Math.floor(output.width / 2));
  return [make("div", { class: "figures" }, ...figures), readout, ...zeros(layer, grids)];
}

function arrow({ operation }) {
  return SIGNS[operation] ? "=" : "→";
}

/** Return the cell of a grid at a place of the output. A grid of one cell is the same value for all places. */
function cellIn(grid, output, y, x) {
  const limit = (value, size, own) => Math.min(Math.floor((value * own) / size), own - 1);
  return { top: limit(y, output.height, grid.height), left: limit(x, output.width, grid.width), height: 1, width: 1 };
}

function valueAt(grid, output, y, x) {
  const { top, left } = cellIn(grid, output, y, x);
  return grid.values[top * grid.width + left];
}

/** Return the shares of zeros of a ReLU's output and of negative values of its input. */
function zeros({ operation }, grids) {
  if (operation !== "relu" || grids.length < 2) return [];
  const share = (grid, matches) => grid.values.filter(matches).length / grid.values.length;
  const negative = share(grids[0], (value) => value < 0);
  const zero = share(grids[1], (value) => value <= 0);
  return [make("p", {}, t("explain.relu.zeros", { negative: percent(negative, 0), zero: percent(zero, 0) }))];
}
