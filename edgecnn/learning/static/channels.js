// The chapter "Channels": one kernel for each input channel, summed; several kernels make several maps.

import { choice, live, numberGrid, selection, shown, slider, stepper, whole } from "./controls.js";
import { byId } from "./elements.js";
import { Grid, greyCells, limitOf, pictureCells, signedCells } from "./grids.js";
import { image } from "./images.js";
import { conv2d, convParameters, tensor } from "./operations.js";
import { t } from "./words.js";

const COLORS = ["red", "green", "blue"];
const SOBEL = [-1, 0, 1, -2, 0, 2, -1, 0, 1];
const center = (value) => [0, 0, 0, 0, value, 0, 0, 0, 0];
const PRESETS = {
  warm: [center(1), center(-0.4), center(-0.6)],
  edges: [0.3, 0.6, 0.1].map((share) => SOBEL.map((weight) => Number((share * weight).toFixed(2)))),
  colors: [SOBEL, Array(9).fill(0), SOBEL.map((weight) => -weight)],
  blur: Array(3).fill(Array(9).fill(0.037)),
};
const COUNTS = [1, 3, 8, 16, 32, 64, 128, 256];
const KERNELS = [1, 3, 5, 7];
const MAP_SIDE = 32;

const imageName = selection("image", changed);
const preset = choice("preset", () => {
  PRESETS[preset()].forEach((weights, channel) => kernels[channel].set(weights));
  changed();
});
const kernels = COLORS.map((color, channel) =>
  numberGrid(byId(`kernel-${color}`), {
    rows: 3, columns: 3, values: PRESETS.warm[channel], listener: changed,
    label: (row, column) => t(`learn.ops.channels.weight_${color}`, { row: row + 1, column: column + 1 }),
  }),
);
const bias = slider("bias", changed, (value) => shown(value, 1));
const steps = stepper("steps", showWindow);
const go = (y, x) => {
  const side = output.shape[2];
  steps.go(Math.min(side - 1, Math.max(0, y)) * side + Math.min(side - 1, Math.max(0, x)));
};
const picture = new Grid(byId("picture"), (y, x) => go(y - 1, x - 1));
const inputs = COLORS.map((color) => new Grid(byId(`input-${color}`), (y, x) => go(y - 1, x - 1)));
const responses = COLORS.map((color) => new Grid(byId(`response-${color}`), go));
const sum = new Grid(byId("sum-map"), go);
const several = Object.keys(PRESETS).map((name) => new Grid(byId(`several-${name}`)));
let input;
let parts;
let output;

function weightOf(lists) {
  return tensor([1, 3, 3, 3], lists.flat());
}

function channelOf(index) {
  const size = input.data.length / 3;
  return tensor([1, ...input.shape.slice(1)], input.data.slice(index * size, (index + 1) * size));
}

function changed() {
  input = image(imageName());
  const lists = kernels.map((kernel) => kernel.values());
  parts = lists.map((weights, channel) => conv2d(channelOf(channel), tensor([1, 1, 3, 3], weights)));
  output = conv2d(input, weightOf(lists), [bias()]);
  steps.resize(output.data.length);
  showSeveral();
  showWindow();
}

function showWindow() {
  const place = steps.place();
  const side = output.shape[2];
  const [y, x] = [Math.floor(place / side), place % side];
  const window = [{ y, x, height: 3, width: 3 }];
  const cell = [{ y, x, kind: "cell" }];
  const where = { row: y + 1, column: x + 1 };
  picture.show({ ...pictureCells(input), marks: window }, t("learn.ops.channels.picture_alt", where));
  const limit = Math.max(limitOf(output.data), ...parts.map((part) => limitOf(part.data)));
  COLORS.forEach((color, channel) => {
    const name = t(`learn.ops.channels.${color}`);
    inputs[channel].show({ ...greyCells(input, channel), marks: window }, t("learn.ops.channels.channel_alt", { name }));
    const value = shown(parts[channel].data[place]);
    const content = { ...signedCells(parts[channel], limit), marks: cell };
    responses[channel].show(content, t("learn.ops.channels.response_alt", { name, value, ...where }));
  });
  const total = shown(output.data[place], 3);
  sum.show({ ...signedCells(output, limit), marks: cell }, t("learn.ops.channels.sum_alt", { value: total, ...where }));
  const terms = COLORS.map((color, channel) => ({
    name: t(`learn.ops.channels.${color}`), value: shown(parts[channel].data[place], 3),
  }));
  const written = terms.map(({ name, value }) => `${name} ${value}`).join(" + ");
  byId("sum").textContent = `${written} + ${t("learn.ops.channels.bias")} ${shown(bias(), 1)} = ${total}`;
}

function showSeveral() {
  Object.values(PRESETS).forEach((lists, index) => {
    const map = conv2d(input, weightOf(lists));
    const name = t(`learn.ops.channels.${Object.keys(PRESETS)[index]}`);
    several[index].show(signedCells(map, limitOf(map.data)), t("learn.ops.channels.several_alt", { name }));
  });
}

const sizes = {
  inputs: slider("inputs", count, (index) => String(COUNTS[index])),
  outputs: slider("outputs", count, (index) => String(COUNTS[index])),
  kernel: slider("size", count, (index) => `${KERNELS[index]} × ${KERNELS[index]}`),
};
const kind = choice("kind", count);

function count() {
  const isDepthwise = kind() === "depthwise";
  byId("outputs").disabled = isDepthwise;
  const channels = COUNTS[sizes.inputs()];
  const outputs = isDepthwise ? channels : COUNTS[sizes.outputs()];
  const kernel = KERNELS[sizes.kernel()];
  const groups = isDepthwise ? channels : 1;
  const parameters = convParameters(channels, outputs, kernel, { groups });
  byId("weight-shape").textContent = `[${outputs}, ${channels / groups}, ${kernel}, ${kernel}]`;
  byId("parameters").textContent = whole(parameters);
  byId("parameters-formula").textContent = `${outputs} × ${channels / groups} × ${kernel} × ${kernel} + ${outputs}`;
  byId("multiplications").textContent = whole((parameters - outputs) * MAP_SIDE * MAP_SIDE);
  const more = `${kernel}${kernel > 1 ? `, padding=${(kernel - 1) / 2}` : ""}${isDepthwise ? `, groups=${groups}` : ""}`;
  byId("torch").textContent = `nn.Conv2d(${channels}, ${outputs}, kernel_size=${more})`;
}

live(changed);
live(count);
go(9, 9);
