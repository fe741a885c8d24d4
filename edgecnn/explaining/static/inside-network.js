// The network of an explanation: its layers with the input image before them, their names, and the reader's choices.

import { t } from "./words.js";
import { whole } from "./inside-values.js";

/** The id of the input image, which is drawn as the first block. */
export const IMAGE = "";

const TIMES = "\u00a0×\u00a0"; // does not break into two lines

/** Return the explanation, its layers, and what the reader has opened and chosen. */
export function networkOf(explanation, { loadMaps = null, attend = null }) {
  const { mean, height, width } = { mean: explanation.mean, ...imageSize(explanation.image.png) };
  const image = { id: IMAGE, name: "", operation: "image", kind: "", inputs: [], shape: [mean.length, height, width] };
  const layers = [
    { ...image, precision: "uint8", parameters: 0, maps: [], values: [] },
    ...explanation.layers.map((layer) => ({ ...layer, inputs: layer.inputs.length ? layer.inputs : [IMAGE] })),
  ];
  return {
    explanation,
    layers,
    loadMaps,
    attend,
    byId: new Map(layers.map((layer) => [layer.id, layer])),
    opened: new Set(),
    channels: new Map(),
    target: explanation.order[0] ?? 0,
  };
}

/** Return the size of a PNG file in base64, from its header. */
function imageSize(png) {
  const bytes = Uint8Array.from(atob(png.slice(0, 32)), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return { width: view.getUint32(16), height: view.getUint32(20) };
}

/** Return the layers that a layer reads. */
export function sources(network, layer) {
  return layer.inputs.map((id) => network.byId.get(id)).filter(Boolean);
}

/** Return the number of a layer, counted from 1; the image is 0. */
export function placeOf(network, layer) {
  return network.layers.indexOf(layer);
}

/** Return the name of a layer: that of its module, or its operation. */
export function nameOf(layer) {
  return layer.name || operationOf(layer);
}

/** Return what a layer does, in words. */
export function operationOf({ operation, kind }) {
  return operation === "other" || operation === "activation" ? kind : t(`explain.op.${operation}`);
}

/** Return the operation of a layer with its window: `Convolution 3 × 3, stride 2`. */
export function kindOf(layer) {
  const { window: slide, operation, shape } = layer;
  if (!slide || operation === "global_average_pool") return operationOf(layer);
  const parts = [`${operationOf(layer)} ${slide.kernel.join(TIMES)}`];
  if (Math.max(...slide.stride) > 1) parts.push(t("explain.stride", { n: pair(slide.stride) }));
  if (Math.max(...slide.dilation) > 1) parts.push(t("explain.dilation", { n: pair(slide.dilation) }));
  if (slide.groups > 1) {
    parts.push(slide.groups === shape[0] ? t("explain.depthwise") : t("explain.groups", { n: slide.groups }));
  }
  return parts.join(t("explain.comma"));
}

function pair([a, b]) {
  return a === b ? a : `${a} × ${b}`;
}

/** Return the layer whose output are the logits: the last linear layer, or the last convolution without one. */
export function headOf({ layers }) {
  return (
    layers.findLast(({ operation }) => operation === "linear") ??
    layers.findLast(({ operation }) => operation === "conv")
  );
}

/** Return a shape in words: `6 maps of 28 × 28`, or `120 values`. */
export function shapeOf({ shape, operation }) {
  if (operation === "image") {
    return t(shape[0] === 3 ? "explain.shape.image_rgb" : "explain.shape.image", { size: sizeOf(shape) });
  }
  if (shape.length === 3) {
    return t(shape[0] === 1 ? "explain.shape.map" : "explain.shape.maps", { n: whole(shape[0]), size: sizeOf(shape) });
  }
  if (shape.length === 1)
    return t(shape[0] === 1 ? "explain.shape.value" : "explain.shape.values", { n: whole(shape[0]) });
  return shape.map(whole).join(" × ") || t("explain.shape.value", { n: 1 });
}

/** Return the height and width of maps: `28 × 28`. */
export function sizeOf(shape) {
  return shape.slice(1).join(TIMES);
}

/** Return the name of a class. */
export function labelOf(network, target) {
  return network.explanation.labels[target] ?? String(target);
}

/** Return whether each class has its own probability, which is the sigmoid of its logit. */
export function isMultiLabel({ layers }) {
  return layers.at(-1).operation !== "softmax";
}
