// The charts of a comparison of networks: accuracy against latency, training curves, and calibration.

import { drawChart } from "./charts.js";
import { byId } from "./elements.js";
import { pageData } from "./page.js";
import { drawReliability } from "./reliability.js";
import { milliseconds, percent } from "./wording.js";
import { t } from "./words.js";

const { networks, curves, points, reliability } = pageData();
const share = (value) => percent(value);

if (points.length) drawChart(byId("pareto-chart"), pareto);
drawChart(byId("loss"), () =>
  curve(t("networks.loss"), t("networks.loss_axis"), { training: "loss", held_out: "validation_loss" }, { log: true }),
);
drawChart(byId("accuracy"), () =>
  curve(t("networks.accuracy"), t("networks.accuracy_axis"), { training: "accuracy", held_out: "validation_top1" }, { format: share }),
);
drawReliability(byId("reliability"), reliability);

/** Describe accuracy against latency: a series for each network, and the Pareto front with names. */
function pareto() {
  const front = points.filter((point) => point.front).sort((one, other) => one.ms - other.ms);
  const name = (point) => `${point.network} ${point.precision}, ${point.engine}`;
  return {
    title: t("networks.pareto_chart"),
    x: { label: t("networks.latency"), log: true, format: milliseconds },
    y: { label: t("reporting.accuracy.top-1"), format: share },
    series: [
      ...networks.map((network, color) => {
        const own = points.filter((point) => point.network === network);
        return { label: network, kind: "points", color, x: own.map((each) => each.ms), y: own.map((each) => each.top1) };
      }),
      {
        label: t("networks.front"), kind: "line", dashed: true, color: networks.length,
        x: front.map((each) => each.ms), y: front.map((each) => each.top1), names: front.map(name),
      },
    ],
  };
}

/** Describe training curves: solid on the training images, dashed on the validation images. */
function curve(title, label, parts, side) {
  const numbers = (values) => values.map((_, index) => index + 1);
  return {
    title,
    x: { label: t("networks.epoch"), format: (value) => (Number.isInteger(value) ? String(value) : "") },
    y: { label, ...side },
    series: networks.flatMap((network, color) =>
      Object.entries(parts).map(([part, key]) => ({
        label: t(`networks.${part}_of`, { network }), kind: "line", color, dashed: part === "held_out",
        x: numbers(curves[color][key]), y: curves[color][key],
      })).filter((series) => series.y.some((value) => value !== null)),
    ),
  };
}
