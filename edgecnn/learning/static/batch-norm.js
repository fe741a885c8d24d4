// The chapter "Batch norm": a batch before and after, the running statistics, and inference as a scale and a shift.

import { choice, live, numberGrid, shown, slider } from "./controls.js";
import { byId, makeSvg } from "./elements.js";
import { batchNorm, randomNumbers, scaleAndShift, tensor } from "./operations.js";
import { t } from "./words.js";

const COUNT = 8;
const FIRST = [6, 9, 4, 7, 12, 5, 8, 9];
const SCALE = [-6, 16]; // of the number lines

const mode = choice("mode", changed);
const gamma = slider("gamma", changed, (value) => shown(value, 1));
const beta = slider("beta", changed, (value) => shown(value, 1));
const batch = numberGrid(byId("batch"), {
  rows: 1, columns: COUNT, values: FIRST, step: 0.5, listener: changed,
  label: (_, column) => t("learn.ops.batch-norm.value_of", { number: column + 1 }),
});
let running = { mean: 0, variance: 1, batches: 0 };

byId("train").addEventListener("click", () => train(1));
byId("train-many").addEventListener("click", () => train(20));
byId("reset").addEventListener("click", () => {
  running = { mean: 0, variance: 1, batches: 0 };
  batch.set(FIRST);
  changed();
});

function normalized(training) {
  return batchNorm(tensor([COUNT, 1], batch.values()), {
    gamma: [gamma()], beta: [beta()], runningMean: [running.mean], runningVariance: [running.variance], training,
  });
}

/** Take batches: each updates the running statistics, and another batch follows. */
function train(count) {
  for (let step = 0; step < count; step += 1) {
    const { runningMean, runningVariance } = normalized(true);
    running = { mean: runningMean[0], variance: runningVariance[0], batches: running.batches + 1 };
    const random = randomNumbers(running.batches);
    batch.set(Array.from({ length: COUNT }, () => Math.round(2 * (7 + 2.5 * (random() + random() + random() - 1.5) * 2)) / 2));
  }
  changed();
}

function changed() {
  const isTraining = mode() === "training";
  const { output, mean, variance } = normalized(isTraining);
  const values = batch.values();
  showLine("before", values, t("learn.ops.batch-norm.before"));
  showLine("after", Array.from(output.data), t("learn.ops.batch-norm.after"));
  byId("mean").textContent = shown(mean[0], 3);
  byId("variance").textContent = shown(variance[0], 3);
  for (const name of ["mean", "variance"]) {
    byId(`${name}-name`).textContent = t(`learn.ops.batch-norm.${isTraining ? "batch" : "running"}_${name}`);
  }
  const [x, y] = [values[0], output.data[0]];
  byId("formula").textContent =
    `y = ${factorText(gamma())} × (${shown(x)} − ${factorText(mean[0])}) / √(${shown(variance[0], 3)} + 0.00001) + ${factorText(beta())} = ${shown(y, 3)}`;
  byId("running-mean").textContent = shown(running.mean, 3);
  byId("running-variance").textContent = shown(running.variance, 3);
  byId("batches").textContent = String(running.batches);
  const { scale, shift } = scaleAndShift(gamma(), beta(), running.mean, running.variance);
  byId("scale-shift").textContent =
    `scale = ${shown(gamma(), 1)} / √(${shown(running.variance, 3)} + 0.00001) = ${shown(scale, 3)}\n` +
    `shift = ${shown(beta(), 1)} − ${factorText(running.mean)} × ${shown(scale, 3)} = ${shown(shift, 3)}\n` +
    `y = ${shown(scale, 3)} × x + ${factorText(shift)}`;
}

function factorText(value) {
  const text = shown(value, 3);
  return value < 0 ? `(${text})` : text;
}

/** Draw values as dots on a number line, with their mean and one standard deviation to each side. */
function showLine(id, values, name) {
  const [low, high] = SCALE;
  const x = (value) => 20 + (600 * (Math.min(high, Math.max(low, value)) - low)) / (high - low);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
  const parts = [
    makeSvg("rect", { x: x(mean - deviation), y: 18, width: x(mean + deviation) - x(mean - deviation), height: 44, class: "spread" }),
    makeSvg("line", { x1: 20, y1: 62, x2: 620, y2: 62, class: "axis" }),
    makeSvg("line", { x1: x(mean), y1: 14, x2: x(mean), y2: 62, class: "mean" }),
  ];
  for (let tick = low; tick <= high; tick += 2) {
    parts.push(makeSvg("text", { x: x(tick), y: 82, "text-anchor": "middle" }, shown(tick)));
  }
  parts.push(...values.map((value) => makeSvg("circle", { cx: x(value), cy: 40, r: 8, class: `dot ${id}` })));
  const svg = byId(id);
  svg.replaceChildren(...parts);
  const list = values.map((value) => shown(value)).join(", ");
  svg.setAttribute("aria-label", t("learn.ops.batch-norm.line_alt", { name, list, mean: shown(mean), deviation: shown(deviation) }));
  byId(`${id}-numbers`).textContent = t("learn.ops.batch-norm.numbers", { mean: shown(mean), deviation: shown(deviation) });
}

live(changed);
