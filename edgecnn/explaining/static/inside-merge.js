// Layers with several inputs: add and multiply compare the same pixel; concat puts maps behind each other.

import { make } from "./elements.js";
import { t } from "./words.js";
import { activationView, pairs } from "./inside-activation.js";
import { mapsView } from "./inside-maps.js";
import { nameOf, shapeOf, sources } from "./inside-network.js";

/** Return the inputs of a merging layer, and its maps. */
export function mergeView(network, layer) {
  return layer.operation === "concat" ? concatView(network, layer) : activationView(network, layer);
}

function concatView(network, layer) {
  let first = 0;
  const ranges = sources(network, layer).map((source) => {
    const start = first;
    first += source.shape[0];
    return { source, start, end: first - 1 };
  });
  const items = ranges.map(({ source, start, end }) =>
    make("li", {}, t("explain.concat.part", { start, end, name: nameOf(source), shape: shapeOf(source) })),
  );
  const inspect = (map) => {
    const range = ranges.find(({ start, end }) => map.channel >= start && map.channel <= end);
    const own = range?.source.maps.find(({ channel }) => channel === map.channel - range.start);
    return pairs(layer, map, own ? [{ source: range.source, map: own }] : []);
  };
  return make("div", { class: "parts" }, make("ul", { class: "ranges" }, ...items), mapsView(network, layer, inspect));
}
