// The chapter "Convolution": one kernel over one image.

import { choice, factor, live, numberGrid, selection, shown, slider, stepper, whole } from "./controls.js";
import { drawingPad } from "./drawing-pad.js";
import { byId, make } from "./elements.js";
import { Grid, greyCells, limitOf, signedCells } from "./grids.js";
import { grey, image } from "./images.js";
import { conv2d, convParameters, linearParameters, outputSize, tensor } from "./operations.js";
import { t } from "./words.js";

const PRESETS = {
  vertical: [-1, 0, 1, -2, 0, 2, -1, 0, 1],
  horizontal: [-1, -2, -1, 0, 0, 0, 1, 2, 1],
  outline: [-1, -1, -1, -1, 8, -1, -1, -1, -1],
  blur: Array(9).fill(1 / 9),
  sharpen: [0, -1, 0, -1, 5, -1, 0, -1, 0],
  same: [0, 0, 0, 0, 1, 0, 0, 0, 0],
};
const KERNEL = 3;

const settings = { stride: slider("stride", changed), padding: slider("padding", changed), dilation: slider("dilation", changed) };
const imageName = selection("image", imageChanged);
const kernel = numberGrid(byId("kernel"), {
  rows: KERNEL, columns: KERNEL, values: PRESETS.vertical, listener: kernelEdited,
  label: (row, column) => t("learn.ops.convolution.weight", { row: row + 1, column: column + 1 }),
});
const preset = choice("preset", () => {
  kernel.set(PRESETS[preset()]);
  changed();
});
const steps = stepper("steps", showWindow);
const inputGrid = new Grid(byId("input"), pointed);
const outputGrid = new Grid(byId("output"), (y, x) => steps.go(y * output.shape[2] + x));
const pad = drawingPad(byId("pad"), changed);
let input;
let output;

function options() {
  return { stride: settings.stride(), padding: settings.padding(), dilation: settings.dilation() };
}

function kernelEdited() {
  for (const each of document.getElementsByName("preset")) {
    each.checked = PRESETS[each.value].every((value, index) => Math.abs(value - kernel.values()[index]) < 1e-3);
  }
  changed();
}

function imageChanged() {
  byId("drawing").hidden = imageName() !== "drawing";
  changed();
  steps.go(Math.floor(0.4 * output.data.length));
}

function changed() {
  input = imageName() === "drawing" ? pad.tensor() : grey(image(imageName()));
  // The inputs show 1/9 as 0.111; the preset's exact weights compute.
  const weights = kernel.values().map((value) => (Math.abs(value - 1 / 9) < 1e-3 ? 1 / 9 : value));
  output = conv2d(input, tensor([1, 1, KERNEL, KERNEL], weights), null, options());
  steps.resize(output.data.length);
  showSizes();
  showWindow();
}

/** Move to the window whose middle is nearest to a pixel. */
function pointed(row, column) {
  const { stride, padding, dilation } = options();
  const [, rows, columns] = output.shape;
  const nearest = (pixel, count) => Math.min(count - 1, Math.max(0, Math.round((pixel + padding - dilation) / stride)));
  steps.go(nearest(row, rows) * columns + nearest(column, columns));
}

/** Return the 9 pixels of the window of an output cell: {row, column, value, weight}; value is null in the padding. */
function windowOf(y, x) {
  const { stride, padding, dilation } = options();
  const [, height, width] = input.shape;
  return kernel.values().map((weight, index) => {
    const row = y * stride - padding + Math.floor(index / KERNEL) * dilation;
    const column = x * stride - padding + (index % KERNEL) * dilation;
    const isInside = row >= 0 && row < height && column >= 0 && column < width;
    return { row, column, weight, value: isInside ? input.data[row * width + column] : null };
  });
}

function showWindow() {
  const [, rows, columns] = output.shape;
  const place = Math.min(steps.place(), output.data.length - 1);
  const [y, x] = [Math.floor(place / columns), place % columns];
  const cells = windowOf(y, x);
  const { padding, dilation } = options();
  const side = dilation * (KERNEL - 1) + 1;
  const around = { y: cells[0].row, x: cells[0].column, height: side, width: side };
  const taken = dilation > 1 ? cells.map(({ row, column }) => ({ y: row, x: column, kind: "other" })) : [];
  const size = input.shape[1];
  inputGrid.show(
    { ...greyCells(input), padding, marks: [...taken, around] },
    t("learn.ops.convolution.input_alt", { size, row: around.y + 1, column: around.x + 1 }),
  );
  const limit = limitOf(output.data);
  outputGrid.show(
    { ...signedCells(output, limit), marks: [{ y, x, kind: "cell" }] },
    t("learn.ops.convolution.output_alt", { rows, columns, row: y + 1, column: x + 1, value: shown(output.data[place]) }),
  );
  byId("input-shape").textContent = `${size} × ${size}`;
  byId("output-shape").textContent = `${rows} × ${columns}`;
  const legend = byId("output-legend");
  legend.hidden = false;
  legend.firstElementChild.textContent = shown(-limit, 1);
  legend.lastElementChild.textContent = shown(limit, 1);
  showProducts(cells, output.data[place]);
}

function showProducts(cells, sum) {
  byId("products").replaceChildren(
    ...cells.map(({ value, weight }) => {
      const product = (value ?? 0) * weight;
      const kind = value === null ? "outside" : product > 0.004 ? "positive" : product < -0.004 ? "negative" : "";
      return make("span", { class: kind }, `${shown(value ?? 0)} × ${factor(weight)}`, make("br"), make("b", {}, `= ${shown(product)}`));
    }),
  );
  const terms = cells.filter(({ weight }) => weight !== 0).map(({ value, weight }) => `${shown(value ?? 0)} × ${factor(weight)}`);
  byId("sum").replaceChildren(`${terms.join(" + ") || "0"} = `, make("b", {}, shown(sum, 3)));
}

function showSizes() {
  const { stride, padding, dilation } = options();
  const size = input.shape[1];
  const result = outputSize(size, KERNEL, options());
  byId("size-formula").replaceChildren(
    `⌊(${size} + 2 × ${padding} − ${dilation} × (${KERNEL} − 1) − 1) / ${stride}⌋ + 1 = `, make("b", {}, String(result)),
  );
  byId("torch").textContent = `nn.Conv2d(1, 1, kernel_size=3, stride=${stride}, padding=${padding}, dilation=${dilation})`;
  const [inputs, outputs] = [size * size, result * result];
  byId("convolution-count").textContent = whole(convParameters(1, 1, KERNEL));
  byId("dense-count").textContent = whole(linearParameters(inputs, outputs));
  byId("dense-formula").textContent = `${whole(inputs)} × ${whole(outputs)} + ${whole(outputs)}`;
  byId("times").textContent = t("learn.ops.convolution.times", {
    times: whole(linearParameters(inputs, outputs) / convParameters(1, 1, KERNEL)),
  });
}

live(changed);
imageChanged();
