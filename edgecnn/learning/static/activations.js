// The chapter "ReLU and other activations": curves and slopes, their effect on a map, and slopes multiplied.

import { drawChart } from "./charts.js";
import { choice, live, shown, slider } from "./controls.js";
import { byId } from "./elements.js";
import { Grid, limitOf, signedCells } from "./grids.js";
import { image } from "./images.js";
import { conv2d, relu, sigmoid, slope, tanh, tensor } from "./operations.js";
import { t } from "./words.js";

const FUNCTIONS = { relu, sigmoid, tanh };
const MODULES = { relu: "nn.ReLU()", sigmoid: "nn.Sigmoid()", tanh: "nn.Tanh()" };
const XS = Array.from({ length: 121 }, (_, index) => (index - 60) / 10);
const SOBEL = [-1, 0, 1, -2, 0, 2, -1, 0, 1];
const MOST_LAYERS = 20;

const kind = choice("kind", changed);
const x = slider("x", changed, (value) => shown(value, 1));
const input = new Grid(byId("input"));
const output = new Grid(byId("output"));
const edges = conv2d(image("digit3"), tensor([1, 1, 3, 3], SOBEL), null, { padding: 1 });

const rounded = (values) => values.map((value) => Number(value.toFixed(4)));
const drawCurve = drawChart(byId("curve"), curve);
const drawDepth = drawChart(byId("depth"), depth);

function curve() {
  const name = t(`learn.ops.activations.${kind()}`);
  const series = [
    { label: t("learn.ops.activations.value"), kind: "line", x: XS, y: rounded(FUNCTIONS[kind()](XS)) },
    { label: t("learn.ops.activations.slope"), kind: "line", dashed: true, x: XS, y: rounded(slope(kind(), XS)) },
    { label: t("learn.ops.activations.here"), kind: "points", x: [x()], y: rounded(FUNCTIONS[kind()]([x()])) },
  ];
  const y = { label: "y", min: -1.2, max: kind() === "relu" ? 6 : 1.2 };
  return { title: t("learn.ops.activations.curve", { name }), x: { label: "x" }, y, series };
}

/** Return the chart of the slope to the power of the number of layers; y is the decimal logarithm. */
function depth() {
  const layers = Array.from({ length: MOST_LAYERS }, (_, index) => index + 1);
  const series = Object.keys(FUNCTIONS).map((each) => {
    const [own] = slope(each, [x()]);
    const y = layers.map((count) => (own > 0 ? count * Math.log10(own) : null));
    return { label: t(`learn.ops.activations.${each}`), kind: "line", x: layers, y };
  });
  return {
    title: t("learn.ops.activations.depth_title", { x: shown(x(), 1) }),
    x: { label: t("learn.ops.activations.layers") },
    y: { label: t("learn.ops.activations.factor"), max: 0.5, format: (value) => power(10 ** value) },
    series,
  };
}

/** Return a positive number with two significant digits; small ones as a power of ten. */
function power(value) {
  return value < 0.01 ? value.toExponential(1) : value.toPrecision(2);
}

let frame = 0;

function changed() {
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(() => {
    drawCurve(curve);
    drawDepth(depth);
  });
  showNumbers();
}

function showNumbers() {
  const [value] = FUNCTIONS[kind()]([x()]);
  const [own] = slope(kind(), [x()]);
  byId("value").textContent = shown(value, 4);
  byId("slope").textContent = shown(own, 4);
  byId("power").textContent = own ? power(own ** 10) : "0";
  byId("torch").textContent = MODULES[kind()];
  const limit = limitOf(edges.data);
  const after = tensor(edges.shape, FUNCTIONS[kind()](edges.data));
  input.show(signedCells(edges, limit), t("learn.ops.activations.before_alt"));
  const zeros = after.data.filter((each) => each === 0).length / after.data.length;
  const name = t(`learn.ops.activations.${kind()}`);
  output.show(signedCells(after, limitOf(after.data)), t("learn.ops.activations.after_alt", { name }));
  byId("zeros").textContent = t("learn.ops.activations.zeros", { percent: shown(100 * zeros, 0), name });
}

live(showNumbers);
