// What an open layer shows: facts, an explanation of its operation, and the view for its operation.

import { make } from "./elements.js";
import { t } from "./words.js";
import { activationView } from "./inside-activation.js";
import { convolutionView } from "./inside-convolution.js";
import { flattenView } from "./inside-flatten.js";
import { imageView } from "./inside-image.js";
import { linearView } from "./inside-linear.js";
import { mergeView } from "./inside-merge.js";
import { isMultiLabel, nameOf, placeOf, shapeOf, sizeOf, sources } from "./inside-network.js";
import { poolingView } from "./inside-pooling.js";
import { scoresView } from "./inside-scores.js";
import { whole } from "./inside-values.js";

const VIEWS = {
  image: imageView,
  normalize: activationView,
  conv: convolutionView,
  max_pool: poolingView,
  average_pool: poolingView,
  global_average_pool: poolingView,
  flatten: flattenView,
  linear: linearView,
  softmax: scoresView,
  add: mergeView,
  multiply: mergeView,
  concat: mergeView,
};

/** Return the content of an open layer. `open(id)` opens another layer. */
export function panelOf(network, layer, open) {
  const isLast = layer === network.layers.at(-1) && isMultiLabel(network);
  const view = isLast ? scoresView : (VIEWS[layer.operation] ?? activationView);
  return make(
    "div",
    { class: "panel" },
    make("p", { class: "explained" }, explanationOf(network, layer)),
    facts(network, layer, open),
    view(network, layer),
  );
}

function explanationOf(network, layer) {
  const source = sources(network, layer)[0];
  const values = {
    n: whole(layer.shape[0] ?? 1),
    inputs: whole(source?.shape[0] ?? 1),
    kernel: layer.window?.kernel.join(" × ") ?? "",
    size: source?.shape.length === 3 ? sizeOf(source.shape) : "",
    kind: layer.kind,
  };
  return t(`explain.about.${layer.operation}`, values);
}

/** Return the facts of a layer: inputs, sizes, learned values, receptive field. */
function facts(network, layer, open) {
  const list = make("dl", { class: "facts" });
  const fact = (key, ...content) => list.append(make("div", {}, make("dt", {}, t(key)), make("dd", {}, ...content)));
  const inputs = sources(network, layer);
  if (inputs.length) fact("explain.fact.input", ...inputs.map((source) => link(network, source, open)));
  fact("explain.fact.output", shapeOf(layer));
  if (layer.parameters) fact("explain.fact.parameters", parametersOf(network, layer));
  if (layer.field) fact("explain.fact.field", t("explain.fact.field.value", { size: layer.field.size.join(" × ") }));
  if (layer.precision !== "uint8") fact("explain.fact.precision", t(`explain.precision.${layer.precision}`));
  return list;
}

function link(network, source, open) {
  const text = `${nameOf(source)}${t("explain.comma")}${shapeOf(source)}`;
  const button = make("button", { type: "button", class: "link" }, text);
  button.addEventListener("click", () => open(source.id));
  return button;
}

/** Return the count of learned values, and how it comes about. */
function parametersOf(network, layer) {
  const total = whole(layer.parameters);
  const source = sources(network, layer)[0];
  if (!source || !["conv", "linear"].includes(layer.operation)) return total;
  const window_ = layer.window ? layer.window.kernel.join(" × ") + " × " : "";
  const inputs = source.shape[0] / (layer.window?.groups ?? 1);
  const product = (layer.window?.kernel ?? [1, 1]).reduce((a, b) => a * b) * inputs * layer.shape[0];
  if (layer.parameters === product) return `${layer.shape[0]} × ${window_}${inputs} = ${total}`;
  if (layer.parameters !== product + layer.shape[0]) return total;
  return t("explain.fact.parameters.value", {
    weights: `${layer.shape[0]} × ${window_}${inputs}`,
    n: layer.shape[0],
    total,
  });
}
