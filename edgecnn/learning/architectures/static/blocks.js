// Draws a network as a list of blocks, from its layer table. A block shows the map that a layer writes: its front is as
// high as the map (square root), its depth grows with the channels (logarithm).

import { make, makeSvg } from "./elements.js";
import { onLanguageChange, t } from "./words.js";

const WIDTH = 96;
const HEIGHT = 80;
const LARGEST = 46; // px: front of a map of the input's size
const GROUP = /^(inception\w+|layer\d+\.\d+)/;

/** Fill a list with the blocks of a network; see `CountedNetwork`. */
export function showBlocks(list, network) {
  const draw = () => list.replaceChildren(...blocks(network));
  onLanguageChange(draw);
  draw();
}

function blocks(network) {
  const [height, width, channels] = network.image_shape;
  const input = { name: t("learn.nets.input"), kind: "", shape: [channels, height, width], parameters: 0 };
  const found = [{ ...input, layers: [] }, ...grouped(network.layers.filter((layer) => layer.shape))];
  return found.map((block) => item(block, height));
}

/** Join the layers of an inception module, or of a residual block. */
function grouped(layers) {
  const found = [];
  for (const layer of layers) {
    const group = layer.name.match(GROUP)?.[0];
    const last = found.at(-1);
    if (group && last?.group === group) {
      last.layers.push(layer);
      last.shape = layer.shape;
      last.parameters += layer.parameters;
    } else found.push({ ...layer, group, name: group ?? layer.name, layers: [layer] });
  }
  return found;
}

function item(block, largest) {
  const kind = kindOf(block);
  const text = block.group ? t(`learn.nets.block.${block.group.startsWith("layer") ? "residual" : "inception"}`) : block.kind;
  const parameters = block.parameters ? t("learn.nets.block.parameters", { count: short(block.parameters) }) : "";
  return make(
    "li", { class: kind }, picture(block, largest),
    make("b", {}, block.name || block.kind), make("span", {}, block.name ? text : ""),
    make("span", { class: "shape" }, block.shape.join(" × ")), make("span", { class: "weights" }, parameters),
  );
}

function kindOf(block) {
  if (block.group || block.kind.startsWith("Conv2d")) return "convolution";
  if (/Pool|average/.test(block.kind)) return "pooling";
  return block.kind === "Linear" ? "linear" : "other";
}

function picture(block, largest) {
  const svg = makeSvg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" });
  const [channels, size] = block.shape;
  if (size === undefined) {
    const length = 8 + 4.4 * Math.log2(channels);
    svg.append(makeSvg("rect", { class: "front", x: WIDTH / 2 - 5, y: HEIGHT - 4 - length, width: 10, height: length, rx: 2 }));
    return svg;
  }
  const side = 5 + LARGEST * Math.sqrt(size / largest);
  const depth = 3 + 2.6 * Math.log2(channels + 1);
  const x = (WIDTH - side - depth) / 2;
  const y = HEIGHT - 4 - side;
  const slant = depth * 0.62;
  svg.append(
    makeSvg("polygon", { class: "top", points: points([x, y], [x + depth, y - slant], [x + side + depth, y - slant], [x + side, y]) }),
    makeSvg("polygon", { class: "side", points: points([x + side, y], [x + side + depth, y - slant], [x + side + depth, y + side - slant], [x + side, y + side]) }),
    makeSvg("rect", { class: "front", x, y, width: side, height: side }),
  );
  if (block.group?.startsWith("layer")) svg.append(skip(block), makeSvg("text", { x: WIDTH - 12, y: 22, class: "plus" }, "+"));
  if (block.group?.startsWith("inception")) for (let branch = 0; branch < 4; branch += 1) svg.append(branchWire(branch));
  return svg;
}

function skip(block) {
  const isProjection = block.layers.some((layer) => layer.name.includes("downsample"));
  const path = `M 6 ${HEIGHT - 16} C 6 8, 20 6, ${WIDTH / 2} 6 S ${WIDTH - 8} 8, ${WIDTH - 8} 26`;
  return makeSvg("path", { class: isProjection ? "wire projection" : "wire", d: path });
}

function branchWire(branch) {
  const y = 8 + 7 * branch;
  return makeSvg("path", { class: "wire", d: `M 4 18 C 12 ${y}, 14 ${y}, 20 ${y} H ${WIDTH - 20} C ${WIDTH - 14} ${y}, ${WIDTH - 12} ${y}, ${WIDTH - 4} 18` });
}

function points(...pairs) {
  return pairs.map((pair) => pair.map((value) => value.toFixed(1)).join(",")).join(" ");
}

/** Format a count with a unit of the SI: `61.7 k`. */
export function short(value) {
  for (const [unit, name] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (value >= unit) return `${Number((value / unit).toPrecision(3))} ${name}`;
  }
  return String(value);
}
