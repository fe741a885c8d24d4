// The choice among the maps of a layer, the strongest first, and the inspection of the chosen one.

import { make } from "./elements.js";
import { t } from "./words.js";
import { moveByArrows } from "./inside-focus.js";
import { captioned, colorLegend, gridView } from "./inside-grid.js";
import { sizeOf } from "./inside-network.js";
import { decode, extent, magnitude, number, whole } from "./inside-values.js";

const FAINTEST = 8; // A difference of one step of the pictures has at most an eighth of the scale.

/**
 * Return the tiles of a layer's maps, and below them what `inspect(map)` returns for the chosen one.
 * `kernelOf(channel)` returns a picture of the kernel for a tile, or null.
 */
export function mapsView(network, layer, inspect, kernelOf = () => null) {
  if (!layer.maps.length) return make("p", { class: "hint" }, t("explain.no_maps"));
  const tiles = make("div", { class: "tiles", role: "group", "aria-label": t("explain.maps") });
  const inspector = make("div", { class: "inspector" });
  const choose = (map) => {
    network.channels.set(layer.id, map.channel);
    for (const tile of tiles.children)
      tile.setAttribute("aria-pressed", String(tile.dataset.channel === `${map.channel}`));
    inspector.replaceChildren(inspect(map), ...comparison(network, layer, map));
  };
  const add = (maps) => {
    for (const map of maps) tiles.append(tileOf(map, kernelOf(map.channel), () => choose(map)));
  };
  add(layer.maps);
  if (layer.maps.length > 1) moveByArrows(tiles, ".tile");
  const heading = make("h4", {});
  const count = () => {
    const isAll = layer.maps.length === layer.shape[0];
    heading.textContent = t(isAll ? "explain.maps.all" : "explain.maps.count", {
      n: whole(layer.maps.length),
      all: whole(layer.shape[0]),
    });
  };
  count();
  choose(layer.maps.find(({ channel }) => channel === network.channels.get(layer.id)) ?? layer.maps[0]);
  return make("div", { class: "maps" }, heading, tiles, ...moreButton(network, layer, add, count), inspector);
}

function tileOf(map, kernel, choose) {
  const tile = make("button", { type: "button", class: "tile", "aria-pressed": "false" });
  tile.dataset.channel = map.channel;
  if (kernel) tile.append(small(kernel, "kernel"));
  tile.append(small(map.picture, "map"), make("span", {}, t("explain.map", { n: map.channel })));
  tile.title = t("explain.strength", { n: number(map.strength) });
  tile.addEventListener("click", choose);
  return tile;
}

function small(picture, kind) {
  const view = gridView({ kind });
  view.element.setAttribute("role", "presentation");
  decode(picture).then((grid) => {
    view.show(grid, { isColor: isColor(grid) });
    view.element.removeAttribute("aria-label");
  });
  return view.element;
}

/** Return whether the channels of a picture differ. */
function isColor({ rgba }) {
  return rgba.some((value, index) => index % 4 === 1 && (value !== rgba[index - 1] || value !== rgba[index + 1]));
}

/** Return the button that loads more maps, where the server has them. */
function moreButton(network, layer, add, count) {
  if (!network.loadMaps || layer.maps.length >= layer.shape[0]) return [];
  const button = make("button", { type: "button", class: "secondary" }, t("explain.more"));
  const status = make("p", { class: "error", role: "status" });
  button.addEventListener("click", async () => {
    button.disabled = true;
    status.textContent = "";
    try {
      const maps = await network.loadMaps(layer.id, layer.maps.length, 16);
      layer.maps = [...layer.maps, ...maps];
      add(maps);
      count();
      if (!maps.length || layer.maps.length >= layer.shape[0]) button.remove();
    } catch (error) {
      status.textContent = error.message || t("explain.failed");
    }
    button.disabled = false;
  });
  return [make("p", { class: "more" }, button), status];
}

/** Return the text alternative of a map. */
export function described(name, grid) {
  const { low, high } = extent(grid.values);
  const place = grid.values.indexOf(high);
  return t("explain.map.described", {
    name,
    size: sizeOf([1, grid.height, grid.width]),
    low: number(low),
    high: number(high),
    y: Math.floor(place / grid.width),
    x: place % grid.width,
  });
}

/** Return the map in both bundles and their difference, where a bundle is compared. */
function comparison(network, layer, map) {
  if (!map.other) return [];
  const { model, compared } = network.explanation;
  const views = make("div", { class: "figures" });
  const text = make("p", { class: "hint" });
  Promise.all([decode(map.picture), decode(map.other)]).then(([grid, other]) => {
    const difference = { ...grid, values: grid.values.map((value, index) => value - other.values[index]) };
    Object.assign(difference, extent(difference.values));
    const range = magnitude(grid, other);
    const step = (grid.high - grid.low) / 255;
    const largest = Math.max(difference.high, -difference.low);
    const figures = [
      [model, grid, range],
      [compared, other, range],
      [t("explain.difference"), difference, Math.max(largest, FAINTEST * step)],
    ];
    for (const [title, each, scale] of figures) {
      const view = gridView();
      view.show(each, { range: scale, label: described(title, each) });
      views.append(captioned(title, view.element, colorLegend(scale, number)));
    }
    const key = largest < 1.5 * step ? "explain.difference.small" : "explain.difference.text";
    const snr = layer.snr_db === null ? "" : t("explain.difference.snr", { n: number(layer.snr_db) });
    text.textContent = `${t(key, { largest: number(largest), step: number(step, 2) })} ${snr}`;
  });
  return [make("div", { class: "part compared" }, make("h4", {}, t("explain.compared")), views, text)];
}
