// The chapter "Shared weights": the wires of dense, local and convolution layers, and a pattern that moves.

import { choice, live, shown, slider, whole } from "./controls.js";
import { byId, makeSvg } from "./elements.js";
import { Grid, greyCells, limitOf, signedCells } from "./grids.js";
import { conv2d, linearParameters, tensor } from "./operations.js";
import { t } from "./words.js";

const INPUTS = 8;
const OUTPUTS = 6;
const KERNEL = 3;
const SHARED = ["#e11d74", "#0e8f8a", "#d08a12"];
const SIDES = [8, 16, 28, 32, 64, 128, 224];
const CORNER = [-1, -1, -1, -1, 1, 1, -1, 1, 1]; // dark above and left, bright below and right
const SIDE = 14;

const kind = choice("kind", showWires);
const unit = slider("unit", showWires);

/** Return the wires as [input, output, number of the weight]. */
function wires() {
  const found = [];
  for (let output = 0; output < OUTPUTS; output += 1) {
    for (let input = 0; input < INPUTS; input += 1) {
      const place = input - output;
      const isNear = place >= 0 && place < KERNEL;
      if (kind() === "dense") found.push([input, output, output * INPUTS + input]);
      else if (isNear) found.push([input, output, kind() === "local" ? output * KERNEL + place : place]);
    }
  }
  return found;
}

function showWires() {
  const all = wires();
  const weights = new Set(all.map(([, , weight]) => weight)).size;
  const x = (index, count) => 40 + ((index + 0.5) * 600) / count;
  const chosen = unit() - 1;
  const color = (weight) => (kind() === "shared" ? SHARED[weight] : `hsl(${(weight * 137.5) % 360} 65% 48%)`);
  const lines = [...all].sort((a, b) => (a[1] === chosen) - (b[1] === chosen)).map(([input, output, weight]) =>
    makeSvg("line", {
      x1: x(input, INPUTS), y1: 190, x2: x(output, OUTPUTS), y2: 40, stroke: color(weight),
      "stroke-width": output === chosen ? 4.5 : 1.8, "stroke-opacity": output === chosen ? 1 : 0.45,
    }),
  );
  const dot = (cx, cy, name) => makeSvg("circle", { cx, cy, r: 14, class: name });
  const dots = [
    ...Array.from({ length: INPUTS }, (_, index) => dot(x(index, INPUTS), 190, "unit")),
    ...Array.from({ length: OUTPUTS }, (_, index) => dot(x(index, OUTPUTS), 40, index === chosen ? "unit chosen" : "unit")),
  ];
  const text = (y, key) => makeSvg("text", { x: 340, y, "text-anchor": "middle" }, t(key));
  const svg = byId("wires");
  svg.replaceChildren(...lines, ...dots, text(234, "learn.ops.shared-weights.pixels"), text(18, "learn.ops.shared-weights.outputs"));
  svg.setAttribute("aria-label", t(`learn.ops.shared-weights.${kind()}_alt`, { weights }));
  byId("weights").textContent = String(weights);
  byId("wire-count").textContent = String(all.length);
  byId("explained").textContent = t(`learn.ops.shared-weights.${kind()}_text`);
}

const side = slider("side", showCounts, (index) => `${SIDES[index]} × ${SIDES[index]}`);

function showCounts() {
  const pixels = SIDES[side()] ** 2;
  byId("dense").textContent = whole(linearParameters(pixels, pixels));
  byId("local").textContent = whole(10 * pixels);
  byId("shared").textContent = "10";
}

const right = slider("right", showPattern);
const down = slider("down", showPattern);
const before = new Grid(byId("before"));
const after = new Grid(byId("after"));

function showPattern() {
  const pixels = new Float64Array(SIDE * SIDE);
  for (let y = 0; y < 5; y += 1) {
    for (let x = 0; x < 5; x += 1) {
      if (y < 2 || x < 2) pixels[(y + down()) * SIDE + x + right()] = 1; // a corner of a frame
    }
  }
  const input = tensor([1, SIDE, SIDE], pixels);
  const map = conv2d(input, tensor([1, 1, 3, 3], CORNER), null, { padding: 1 });
  const place = map.data.indexOf(Math.max(...map.data));
  const [y, x] = [Math.floor(place / SIDE), place % SIDE];
  const where = { row: y + 1, column: x + 1, value: shown(map.data[place]) };
  before.show(greyCells(input), t("learn.ops.shared-weights.before_alt", { row: down() + 1, column: right() + 1 }));
  const content = { ...signedCells(map, limitOf(map.data)), marks: [{ y, x, kind: "cell" }] };
  after.show(content, t("learn.ops.shared-weights.after_alt", where));
  byId("largest").textContent = t("learn.ops.shared-weights.largest", where);
}

live(showWires);
live(showCounts);
live(showPattern);
