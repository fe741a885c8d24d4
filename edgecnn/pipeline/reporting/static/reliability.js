// Reliability diagrams: how often the answers of each probability are right.

import { drawChart } from "./charts.js";
import { percent } from "./wording.js";
import { t } from "./words.js";

/**
 * Draw a reliability diagram.
 *
 * Args: `diagrams`: [{name, confidence: [number], accuracy: [number], images: [number]}], one for each classifier.
 */
export function drawReliability(figure, diagrams) {
  const share = (value) => percent(value, 0);
  drawChart(figure, () => ({
    title: t("reporting.reliability_chart"),
    x: { label: t("reporting.probability"), min: 0, max: 1, format: share },
    y: { label: t("reporting.share_right"), min: 0, max: 1, format: share },
    series: [
      ...diagrams.map((each) => ({ label: each.name, kind: "line", x: each.confidence, y: each.accuracy })),
      { label: t("reporting.calibrated"), kind: "line", dashed: true, x: [0, 1], y: [0, 1] },
    ],
  }));
}
