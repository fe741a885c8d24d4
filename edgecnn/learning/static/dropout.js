// The chapter "Dropout": which values are dropped, the thinned network, and the mean of many draws.

import { choice, live, shown, slider } from "./controls.js";
import { byId, make, makeSvg } from "./elements.js";
import { dropout, keptBy } from "./operations.js";
import { t } from "./words.js";

const VALUES = [1.2, 0.4, 2, 0.8, 1.6, 0.2, 1, 2.4];
const LAYERS = [4, VALUES.length, 3];

const mode = choice("mode", changed);
const p = slider("p", changed, (value) => shown(value, 1));
const draws = slider("draws", showMeans, String);
let seed = 2;

byId("again").addEventListener("click", () => {
  seed += 1;
  changed();
});

function changed() {
  const isTraining = mode() === "training";
  const kept = isTraining ? keptBy(VALUES.length, p(), seed) : VALUES.map(() => true);
  const results = isTraining ? dropout(VALUES, p(), kept) : VALUES;
  byId("again").disabled = !isTraining;
  byId("rows").replaceChildren(
    ...VALUES.map((value, index) =>
      make(
        "tr", { class: kept[index] ? "" : "dropped" }, make("th", { scope: "row" }, String(index + 1)),
        make("td", { class: "number" }, shown(value, 1)), make("td", {}, written(value, kept[index], isTraining)),
        make("td", { class: "number" }, make("b", {}, shown(results[index]))),
      ),
    ),
  );
  byId("torch").textContent = `nn.Dropout(${p()})`;
  byId("draw").textContent = isTraining
    ? t("learn.ops.dropout.draw", { seed, kept: kept.filter(Boolean).length, count: VALUES.length })
    : t("learn.ops.dropout.inference_text");
  showNetwork(kept);
  showMeans();
}

function written(value, isKept, isTraining) {
  if (!isTraining) return t("learn.ops.dropout.unchanged");
  return isKept ? `${shown(value, 1)} × 1 / (1 − ${shown(p(), 1)})` : t("learn.ops.dropout.dropped");
}

function showNetwork(kept) {
  const x = (layer) => 60 + layer * 270;
  const y = (layer, unit) => 130 + (unit - (LAYERS[layer] - 1) / 2) * 30;
  const isOn = (layer, unit) => layer !== 1 || kept[unit];
  const parts = [];
  for (const layer of [0, 1]) {
    for (let a = 0; a < LAYERS[layer]; a += 1) {
      for (let b = 0; b < LAYERS[layer + 1]; b += 1) {
        const kind = isOn(layer, a) && isOn(layer + 1, b) ? "wire" : "wire off";
        parts.push(makeSvg("line", { x1: x(layer), y1: y(layer, a), x2: x(layer + 1), y2: y(layer + 1, b), class: kind }));
      }
    }
  }
  LAYERS.forEach((count, layer) => {
    for (let unit = 0; unit < count; unit += 1) {
      const kind = isOn(layer, unit) ? "unit" : "unit off";
      parts.push(makeSvg("circle", { cx: x(layer), cy: y(layer, unit), r: 11, class: kind }));
    }
  });
  const svg = byId("network");
  svg.replaceChildren(...parts);
  const off = kept.flatMap((isKept, index) => (isKept ? [] : [index + 1])).join(", ");
  svg.setAttribute("aria-label", off ? t("learn.ops.dropout.network_alt", { off }) : t("learn.ops.dropout.network_whole"));
}

/** Show that the mean over many draws is the value without dropout. */
function showMeans() {
  const sums = VALUES.map(() => 0);
  for (let draw = 1; draw <= draws(); draw += 1) {
    dropout(VALUES, p(), keptBy(VALUES.length, p(), seed * 10_007 + draw)).forEach((value, index) => (sums[index] += value));
  }
  byId("means").replaceChildren(
    ...VALUES.map((value, index) =>
      make(
        "tr", {}, make("th", { scope: "row" }, String(index + 1)),
        make("td", { class: "number" }, shown(value, 1)), make("td", { class: "number" }, shown(sums[index] / draws())),
      ),
    ),
  );
}

live(changed);
