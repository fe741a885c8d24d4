// The chapter on vanishing gradients: gradient norms by layer at initialisation.

import { drawChart } from "./charts.js";
import { byId } from "./elements.js";
import { pageData } from "./page.js";
import { t } from "./words.js";

const { series } = pageData();
const LIMITS = { sigmoid: { min: -14, max: 0 }, relu: { min: -2, max: 2 } };
const RAISED = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

for (const activation of ["sigmoid", "relu"]) drawChart(byId(activation), () => norms(activation));

function norms(activation) {
  return {
    title: t(`learn.nets.gradients.chart.${activation}`),
    x: { label: t("learn.nets.gradients.layer") },
    y: { label: t("learn.nets.gradients.norm"), format: power, ...LIMITS[activation] },
    series: series.filter((each) => each.activation === activation).map((each) => ({
      label: t(`learn.nets.gradients.${each.batch_norm ? "norm" : "plain"}.${each.skips ? "skips" : "none"}`),
      kind: "line", dashed: each.skips, x: each.norms.map((_, layer) => layer + 1), y: each.norms.map(Math.log10),
    })),
  };
}

/** Format a number of which the decimal logarithm is given: `3.2 · 10⁻³`. */
function power(logarithm) {
  const [digits, exponent] = (10 ** logarithm).toExponential(1).split("e");
  const raised = [...String(Number(exponent))].map((digit) => RAISED[digit]).join("");
  return digits === "1.0" ? `10${raised}` : `${digits} · 10${raised}`;
}
