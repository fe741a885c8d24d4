// The chapter that compares the architectures: accuracy against latency and against parameters.

import { drawChart } from "./charts.js";
import { byId } from "./elements.js";
import { pageData } from "./page.js";
import { t } from "./words.js";

const { networks } = pageData();
const rows = Object.values(networks).map(({ accuracy, latencies }) => ({
  name: accuracy.architecture === latencies[0].network ? accuracy.architecture : `${accuracy.architecture}, ${latencies[0].network}`,
  top1: 100 * accuracy.top1,
  parameters: accuracy.parameters / 1e6,
  latency: latencies[0].median_ms,
}));

draw("against-latency", "latency");
draw("against-parameters", "parameters");

function draw(id, field) {
  drawChart(byId(id), () => ({
    title: t(`learn.nets.compared.chart.${field}`),
    x: { label: t(`learn.nets.compared.axis.${field}`), log: true },
    y: { label: t("learn.nets.compared.axis.top1"), min: 90.4, max: 93.4 },
    series: [
      { label: t("learn.nets.compared.networks"), kind: "points", x: rows.map((row) => row[field]), y: rows.map((row) => row.top1), names: rows.map((row) => (field === "latency" ? row.name : row.name.split(",")[0])) },
      { label: t("learn.nets.compared.front"), kind: "line", dashed: true, ...front(field) },
    ],
  }));
}

/** Return the networks that no other one beats in both respects. */
function front(field) {
  const found = rows.filter((row) => !rows.some((other) => other[field] < row[field] && other.top1 >= row.top1));
  found.sort((one, other) => one[field] - other[field]);
  return { x: found.map((row) => row[field]), y: found.map((row) => row.top1) };
}
