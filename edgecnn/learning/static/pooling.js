// The chapter "Pooling": a worked example, a feature map, a shift, and the sizes after it.

import { choice, live, numberGrid, shown, slider, stepper, whole } from "./controls.js";
import { byId } from "./elements.js";
import { Grid, limitOf, signedCells } from "./grids.js";
import { image, shifted } from "./images.js";
import { avgPool, conv2d, linearParameters, maxPool, outputSize, relu, tensor } from "./operations.js";
import { t } from "./words.js";

const EXAMPLE = [1, 3, 0, 2, 2, 4, 1, 1, 0, 1, 5, 2, 1, 2, 2, 3];
const SOBEL = [-1, 0, 1, -2, 0, 2, -1, 0, 1];
const CHANNELS = 16;
const CLASSES = 10;
const functions = { max: maxPool, average: avgPool };

function edgesOf(input) {
  const map = conv2d(input, tensor([1, 1, 3, 3], SOBEL), null, { padding: 1 });
  return tensor(map.shape, relu(map.data));
}

// The worked example.
const example = numberGrid(byId("example"), {
  rows: 4, columns: 4, values: EXAMPLE, step: 1, listener: showExample,
  label: (row, column) => t("learn.ops.pooling.value", { row: row + 1, column: column + 1 }),
});
const exampleGrids = { max: new Grid(byId("example-max")), average: new Grid(byId("example-average")) };

function showExample() {
  const input = tensor([1, 4, 4], example.values());
  const limit = limitOf(input.data);
  for (const [name, grid] of Object.entries(exampleGrids)) {
    const result = functions[name](input, { kernel: 2 });
    const cells = signedCells(result, limit);
    const values = Array.from(result.data, (value) => shown(value)).join(", ");
    grid.show({ ...cells, number: (y, x) => shown(cells.at(y, x)) }, t(`learn.ops.pooling.${name}_alt`, { values }));
  }
  const { winners } = maxPool(input, { kernel: 2 });
  byId("example").childNodes.forEach((field, index) => field.classList.toggle("winner", winners.includes(index)));
  const window = [0, 1, 4, 5].map((index) => example.values()[index]);
  byId("example-sum").textContent =
    `max(${window.join(", ")}) = ${Math.max(...window)}; (${window.join(" + ")}) / 4 = ${shown(avgPool(input, { kernel: 2 }).data[0])}`;
}

// A feature map.
const kind = choice("kind", showMap);
const size = slider("size", () => {
  stride.set(size());
  showMap();
});
const stride = slider("stride", showMap);
const steps = stepper("steps", showWindow);
const map = edgesOf(image("digit3"));
const mapGrid = new Grid(byId("map"), (y, x) => {
  const [, rows, columns] = pooled.shape;
  const place = (pixel, count) => Math.min(count - 1, Math.floor(pixel / stride()));
  steps.go(place(y, rows) * columns + place(x, columns));
});
const pooledGrid = new Grid(byId("pooled"), (y, x) => steps.go(y * pooled.shape[2] + x));
let pooled;

function showMap() {
  pooled = functions[kind()](map, { kernel: size(), stride: stride() });
  steps.resize(pooled.data.length);
  const name = kind() === "max" ? "MaxPool2d" : "AvgPool2d";
  byId("torch").textContent = `nn.${name}(kernel_size=${size()}, stride=${stride()})`;
  showWindow();
}

function showWindow() {
  const place = steps.place();
  const [, rows, columns] = pooled.shape;
  const [y, x] = [Math.floor(place / columns), place % columns];
  const side = map.shape[1];
  const window = { y: y * stride(), x: x * stride(), height: size(), width: size() };
  const winner = pooled.winners?.[place];
  const marks = winner === undefined ? [] : [{ y: Math.floor(winner / side), x: winner % side, kind: "cell" }];
  const limit = limitOf(map.data);
  mapGrid.show({ ...signedCells(map, limit), marks: [window, ...marks] }, t("learn.ops.pooling.map_alt", { side }));
  const value = shown(pooled.data[place]);
  const alt = t("learn.ops.pooling.pooled_alt", { rows, columns, row: y + 1, column: x + 1, value });
  pooledGrid.show({ ...signedCells(pooled, limit), marks: [{ y, x, kind: "cell" }] }, alt);
  byId("map-shape").textContent = `${side} × ${side}`;
  byId("pooled-shape").textContent = `${rows} × ${columns}`;
  const values = [];
  for (let i = 0; i < size(); i += 1) {
    for (let j = 0; j < size(); j += 1) values.push(shown(map.data[(window.y + i) * side + window.x + j]));
  }
  byId("sum").textContent =
    kind() === "max" ? `max(${values.join(", ")}) = ${value}` : `(${values.join(" + ")}) / ${values.length} = ${value}`;
}

// The shift.
const shift = slider("shift", showShift, (pixels) => t("learn.ops.pooling.pixels", { pixels }));
const window = slider("window", showShift, (side) => `${side} × ${side}`);
const shiftGrids = ["map", "max", "average"].map((name) => ({
  before: new Grid(byId(`before-${name}`)), after: new Grid(byId(`after-${name}`)), name,
}));

function showShift() {
  const maps = [0, shift()].map((pixels) => edgesOf(shifted(image("digit3"), pixels)));
  for (const { name, before, after } of shiftGrids) {
    const [first, second] = name === "map" ? maps : maps.map((each) => functions[name](each, { kernel: window() }));
    const limit = limitOf(first.data);
    const label = t(`learn.ops.pooling.shift_${name}`);
    before.show(signedCells(first, limit), t("learn.ops.pooling.before_alt", { name: label }));
    after.show(signedCells(second, limit), t("learn.ops.pooling.after_alt", { name: label, pixels: shift() }));
    byId(`change-${name}`).textContent = `${shown(100 * changeOf(first, second), 0)} %`;
  }
}

/** Return which share of the map's strength is elsewhere after the shift. */
function changeOf(first, second) {
  let difference = 0;
  let total = 0;
  first.data.forEach((value, index) => {
    difference += Math.abs(value - second.data[index]);
    total += value + second.data[index];
  });
  return total ? difference / total : 0;
}

// The sizes.
const side = slider("side", showSizes, (pixels) => `${pixels} × ${pixels}`);

function showSizes() {
  const after = outputSize(side(), 2, { stride: 2 });
  const values = (length) => CHANNELS * length * length;
  byId("size-before").textContent = `[${CHANNELS}, ${side()}, ${side()}]`;
  byId("size-after").textContent = `[${CHANNELS}, ${after}, ${after}]`;
  byId("linear-before").textContent = whole(linearParameters(values(side()), CLASSES));
  byId("linear-after").textContent = whole(linearParameters(values(after), CLASSES));
}

live(showExample);
live(showMap);
steps.go(pooled.data.indexOf(Math.max(...pooled.data)));
live(showShift);
live(showSizes);
