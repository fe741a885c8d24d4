// Pooling: a map before and after, the window of a value and its winner or mean, and what a shift of the map changes.

import { make } from "./elements.js";
import { t } from "./words.js";
import { captioned, colorLegend, gridView } from "./inside-grid.js";
import { described, mapsView } from "./inside-maps.js";
import { sources } from "./inside-network.js";
import { decode, gridOf, magnitude, number, reduction, relativeChange } from "./inside-values.js";
import { percent } from "./wording.js";

const SHIFTS = 3;
const LISTED = 16;

/** Return the maps of a pooling layer, each beside the map that it reads. */
export function poolingView(network, layer) {
  const source = sources(network, layer)[0];
  const before = new Map((source?.maps ?? []).map((map) => [map.channel, map]));
  if (layer.maps.length) {
    return mapsView(network, layer, (map) =>
      inspect(source, layer, before.get(map.channel), map.channel, decode(map.picture)),
    );
  }
  // The layer has one value a channel, in place of a map.
  const maps = (source?.maps ?? []).map((map) => ({ ...map, other: null }));
  return mapsView({ ...network, loadMaps: null }, { ...layer, maps }, (map) =>
    inspect(source, layer, map, map.channel, Promise.resolve(gridOf(1, 1, [layer.values[map.channel] ?? NaN]))),
  );
}

/** Return the window of a value of a pooled map: the places that it reads, in the map before. */
function windowAt({ window: slide, operation }, [, rows, columns], y, x) {
  if (operation === "global_average_pool" || !slide)
    return { top: 0, left: 0, height: rows, width: columns, step: [1, 1] };
  const length = slide.kernel.map((size, side) => (size - 1) * slide.dilation[side] + 1);
  return {
    top: y * slide.stride[0] - slide.padding[0],
    left: x * slide.stride[1] - slide.padding[1],
    height: length[0],
    width: length[1],
    step: slide.dilation,
  };
}

/** Return the places of a window that lie in the grid, as {y, x, value}. */
function placesIn(grid, { top, left, height, width, step }) {
  const places = [];
  for (let y = top; y < top + height; y += step[0]) {
    for (let x = left; x < left + width; x += step[1]) {
      const isInside = y >= 0 && x >= 0 && y < grid.height && x < grid.width;
      if (isInside) places.push({ y, x, value: grid.values[y * grid.width + x] });
    }
  }
  return places;
}

/** Return the pooled grid. Values in the padding do not count. */
function pool(layer, grid) {
  const slide = layer.operation === "global_average_pool" ? null : layer.window;
  const sizes = [grid.height, grid.width].map((size, side) => {
    if (!slide) return 1;
    const span = (slide.kernel[side] - 1) * slide.dilation[side] + 1;
    return Math.max(
      1,
      Math.floor((size + slide.padding[side] + slide.padding[side + 2] - span) / slide.stride[side]) + 1,
    );
  });
  const values = Array.from({ length: sizes[0] * sizes[1] }, (_, index) => {
    const window_ = windowAt(layer, [1, grid.height, grid.width], Math.floor(index / sizes[1]), index % sizes[1]);
    const numbers = placesIn(grid, window_).map(({ value }) => value);
    return layer.operation === "max_pool" ? Math.max(...numbers) : numbers.reduce((a, b) => a + b, 0) / numbers.length;
  });
  return gridOf(sizes[0], sizes[1], values);
}

function inspect(source, layer, before, channel, after) {
  if (!before) return make("p", { class: "hint" }, t("explain.pool.missing"));
  const part = make("div", { class: "part" });
  Promise.all([decode(before.picture), after]).then(([input, output]) => {
    part.append(...hovered(source, layer, channel, input, output), shifted(layer, input));
  });
  return part;
}

function hovered(source, layer, channel, input, output) {
  const range = magnitude(input);
  const readout = make("p", { class: "readout", "aria-live": "polite" });
  const from = gridView();
  from.show(input, { range, label: described(t("explain.before"), input) });
  const to = gridView({
    onCell(y, x) {
      const found = readWindow(source, layer, input, output, y, x);
      to.mark([{ top: y, left: x, height: 1, width: 1 }]);
      from.mark([found.outline, ...(found.winner ? [{ ...found.winner, kind: "winner" }] : [])]);
      readout.textContent = found.text;
      Object.assign(readout.dataset, { list: found.values.join(" "), value: output.values[y * output.width + x] });
    },
  });
  const label = `${described(t("explain.after"), output)} ${t("explain.keys")}`;
  to.show(output, { range, label });
  to.choose(Math.floor(output.height / 2), Math.floor(output.width / 2));
  const arrow = make("span", { class: "sign", "aria-hidden": "true" }, "→");
  const figures = make(
    "div",
    { class: "figures" },
    captioned(t("explain.before.map", { n: channel }), from.element, colorLegend(range, number)),
    arrow,
    captioned(t("explain.after.hover"), to.element),
  );
  return [figures, readout];
}

/**
 * Return what a pixel of the pooled map reads: {outline, winner, values, text}. Pixels of reduced pictures are means,
 * so the values and the winner cannot be read from them.
 */
function readWindow(source, layer, input, output, y, x) {
  const [before, after] = [reduction(source, input), layer.maps.length ? reduction(layer, output) : 1];
  const window_ = windowAt(layer, source.shape, y * after, x * after);
  const grow = (length, side) => length + (after - 1) * (layer.window?.stride[side] ?? 1);
  const scaled = [window_.top, window_.left, grow(window_.height, 0), grow(window_.width, 1)].map(
    (each) => each / before,
  );
  const outline = { top: scaled[0], left: scaled[1], height: scaled[2], width: scaled[3] };
  const value = number(output.values[y * output.width + x]);
  if (before > 1 || after > 1) {
    return {
      outline,
      winner: null,
      values: [],
      text: t("explain.pool.reduced", { y, x, value, before, after, kernel: `${window_.height} × ${window_.width}` }),
    };
  }
  const places = placesIn(input, window_);
  const best = places.reduce((one, other) => (other.value > one.value ? other : one));
  const isMax = layer.operation === "max_pool";
  const list =
    places.length <= LISTED
      ? places.map((place) => number(place.value)).join(", ")
      : t("explain.pool.values", { n: places.length });
  return {
    outline,
    winner: isMax ? { top: best.y, left: best.x, height: 1, width: 1 } : null,
    values: places.map((place) => place.value),
    text: t(isMax ? "explain.pool.max" : "explain.pool.mean", { y, x, list, value, row: best.y, column: best.x }),
  };
}

/** Return the slider that shifts the map before pooling, and how much both maps change. */
function shifted(layer, input) {
  const slider = make("input", { type: "range", min: -SHIFTS, max: SHIFTS, step: 1, value: 1 });
  const [from, to] = [gridView(), gridView()];
  const figures = make(
    "div",
    { class: "figures" },
    captioned(t("explain.shift.before"), from.element),
    captioned(t("explain.shift.after"), to.element),
  );
  const readout = make("p", { class: "readout shift", "aria-live": "polite" });
  const pooled = pool(layer, input);
  const range = magnitude(input);
  const draw = () => {
    const shift = Number(slider.value);
    const moved = shiftedGrid(input, shift);
    const result = pool(layer, moved);
    from.show(moved, { range, label: described(t("explain.shift.before"), moved) });
    to.show(result, { range, label: described(t("explain.shift.after"), result) });
    const changes = [relativeChange(moved.values, input.values), relativeChange(result.values, pooled.values)];
    Object.assign(readout.dataset, { before: changes[0], after: changes[1] });
    const [before, after] = changes.map((change) => percent(change, change < 0.1 ? 1 : 0));
    readout.textContent = t(shift === 0 ? "explain.shift.none" : "explain.shift.text", {
      n: Math.abs(shift),
      before,
      after,
    });
  };
  slider.addEventListener("input", draw);
  draw();
  return make(
    "div",
    { class: "shift-part" },
    make("h4", {}, t("explain.shift.title")),
    make("label", { class: "slider" }, make("span", {}, t("explain.shift")), slider),
    figures,
    readout,
  );
}

/** Return a grid moved to the right; its first column repeats at the edge. */
function shiftedGrid(grid, shift) {
  const values = grid.values.map((_, index) => {
    const x = Math.min(Math.max((index % grid.width) - shift, 0), grid.width - 1);
    return grid.values[index - (index % grid.width) + x];
  });
  return { ...grid, values };
}
