// The charts of a report: calibration, the ranges of the layers, and the histogram of one layer.

import { drawChart } from "./charts.js";
import { byId } from "./elements.js";
import { pageData } from "./page.js";
import { drawReliability } from "./reliability.js";
import { t } from "./words.js";

pageData().forEach((family, number) => {
  if (family.reliability.length) drawReliability(byId(`reliability-${number}`), family.reliability);
  if (family.layers.length) drawLayers(family, number);
});

function drawLayers(family, number) {
  drawChart(byId(`ranges-${number}`), () => ranges(family));
  const choice = byId(`layer-${number}`);
  const chosen = () => histogram(family, family.layers[Number(choice.value)]);
  const redraw = drawChart(byId(`histogram-${number}`), chosen);
  choice.addEventListener("change", () => redraw(chosen));
}

function ranges(family) {
  const numbers = family.layers.map((_, index) => index + 1);
  const ends = (name, end) => family.layers.map((layer) => layer.bundles[name]?.[end] ?? null);
  return {
    title: t("report.ranges"),
    x: { label: t("report.layer_number"), format: (value) => (Number.isInteger(value) ? String(value) : "") },
    y: { label: t("report.value") },
    series: family.names.flatMap((name, index) => [
      { label: t("report.highest_of", { name }), kind: "line", color: index, x: numbers, y: ends(name, "high") },
      { label: t("report.lowest_of", { name }), kind: "line", color: index, dashed: true, x: numbers, y: ends(name, "low") },
    ]),
  };
}

/** Describe the histogram of a layer: steps, one for each bin, as counts on a logarithmic scale. */
function histogram(family, layer) {
  const present = family.names.filter((name) => name in layer.bundles);
  const centers = (counts) => counts.map((_, index) => layer.start + (index + 0.5) * layer.width);
  return {
    title: t("report.histogram", { layer: layer.layer }),
    x: { label: t("report.value") },
    y: { label: t("report.count"), log: true },
    series: present.map((name) => {
      const { counts } = layer.bundles[name];
      const kind = family.names.indexOf(name) === 0 ? "bars" : "line";
      return { label: name, kind, color: family.names.indexOf(name), x: centers(counts), y: counts.map((each) => each || null) };
    }),
  };
}
