// Live traffic from the server's metrics: requests per second, and average latencies over the last two minutes.

import { make, makeSvg } from "./elements.js";
import { stackingTable } from "./table.js";
import { milliseconds } from "./wording.js";
import { currentLanguage, t } from "./words.js";

const MAX_SAMPLES = 61;
const [WIDTH, HEIGHT] = [120, 28];
const STAGES = [
  ["preprocess", "page.decode"],
  ["queue", "page.queue"],
  ["inference", "page.inference"],
];
const LINE = /^edgecnn_(\w+)\{model="([\w.-]+)"\} (\S+)$/gm;

/** Parse the text of the metrics. Returns a Map of model names to {metric: value}. */
export function parseMetrics(text) {
  const models = new Map();
  for (const [, metric, model, value] of text.matchAll(LINE)) {
    if (!models.has(model)) models.set(model, {});
    models.get(model)[metric] = Number(value);
  }
  return models;
}

/** The latest samples of the metrics of each model. */
export class Traffic {
  #samples = new Map();

  /** Add the text of the metrics, fetched at `now`, in milliseconds. */
  add(text, now) {
    for (const [model, sample] of parseMetrics(text)) {
      const samples = this.#samples.get(model) ?? [];
      const previous = samples.at(-1);
      // The counters of a restarted worker begin at zero.
      const isReset =
        previous !== undefined && sample.requests_succeeded_total < previous.requests_succeeded_total;
      this.#samples.set(model, [...(isReset ? [] : samples), { ...sample, now }].slice(-MAX_SAMPLES));
    }
  }

  /** Return a table with one row for each of the named models. */
  renderTable(names) {
    const keys = ["traffic.model", "traffic.rate", ...STAGES.map(([, key]) => key), "traffic.answered"];
    const rows = names.filter((name) => this.#samples.has(name)).map((name) => row(name, this.#samples.get(name)));
    return stackingTable(t("traffic.table"), keys.map((key) => t(key)), rows);
  }
}

function row(name, samples) {
  const rates = samples.slice(1).map((sample, index) => rate(samples[index], sample));
  const [first, last] = [samples[0], samples.at(-1)];
  return [
    name,
    make("div", { class: "rate" }, sparkline(rates), make("span", {}, (rates.at(-1) ?? 0).toFixed(1))),
    ...STAGES.map(([stage]) => meanLatency(first, last, `${stage}_seconds`)),
    last.requests_succeeded_total.toLocaleString(currentLanguage()),
  ];
}

function rate(before, after) {
  return (after.requests_succeeded_total - before.requests_succeeded_total) / ((after.now - before.now) / 1000);
}

function meanLatency(first, last, metric) {
  const times = last[`${metric}_count`] - first[`${metric}_count`];
  return times > 0 ? milliseconds((1000 * (last[`${metric}_sum`] - first[`${metric}_sum`])) / times) : "–";
}

function sparkline(rates) {
  const highest = Math.max(1, ...rates);
  const step = WIDTH / (MAX_SAMPLES - 2);
  const points = rates.map((value, index) => {
    const x = WIDTH - step * (rates.length - 1 - index);
    return `${x.toFixed(1)},${(HEIGHT - 2 - (HEIGHT - 4) * (value / highest)).toFixed(1)}`;
  });
  const size = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT };
  const base = makeSvg("line", { x1: 0, x2: WIDTH, y1: HEIGHT - 1, y2: HEIGHT - 1 });
  const line = makeSvg("polyline", { points: points.join(" ") });
  return makeSvg("svg", { class: "spark", ...size, "aria-hidden": "true" }, base, line);
}
