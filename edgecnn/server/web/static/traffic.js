// What the server is doing now, from its metrics: answers a second, and mean latencies over the last two minutes.

import { draw, make } from "./elements.js";
import { milliseconds } from "./wording.js";

const KEPT = 61; // samples
const [WIDTH, HEIGHT] = [120, 28];
const STAGES = [
  ["preprocess", "Decode"],
  ["queue", "Queue"],
  ["inference", "Inference"],
];
const LINE = /^edgecnn_(\w+)\{model="([\w.-]+)"\} (\S+)$/gm;

/** Return the samples of every model in a page of metrics, as a Map of names to {metric: value}. */
export function parsed(text) {
  const models = new Map();
  for (const [, metric, model, value] of text.matchAll(LINE)) {
    if (!models.has(model)) models.set(model, {});
    models.get(model)[metric] = Number(value);
  }
  return models;
}

/** What was measured of every model, sample by sample. */
export class Traffic {
  #samples = new Map();

  /** Take a page of metrics that was asked for at `now`, in milliseconds. */
  add(text, now) {
    for (const [model, sample] of parsed(text)) {
      const kept = this.#samples.get(model) ?? [];
      const before = kept.at(-1);
      // A worker that was started again counts from nothing.
      const isNew = before !== undefined && sample.requests_succeeded_total < before.requests_succeeded_total;
      this.#samples.set(model, [...(isNew ? [] : kept), { ...sample, now }].slice(-KEPT));
    }
  }

  /** Return a table of some models. */
  shown(names) {
    const head = ["Model", "Requests per second", ...STAGES.map(([, title]) => title), "Answered"];
    const known = names.filter((name) => this.#samples.has(name));
    return make(
      "table",
      { class: "live" },
      make("thead", {}, make("tr", {}, ...head.map((title) => make("th", { scope: "col" }, title)))),
      make("tbody", {}, ...known.map((name) => row(name, this.#samples.get(name)))),
    );
  }
}

function row(name, samples) {
  const rates = samples.slice(1).map((sample, index) => rate(samples[index], sample));
  const [first, last] = [samples[0], samples.at(-1)];
  return make(
    "tr",
    {},
    make("th", { scope: "row" }, name),
    make("td", {}, make("div", { class: "rate" }, line(rates), make("span", {}, (rates.at(-1) ?? 0).toFixed(1)))),
    ...STAGES.map(([stage]) => make("td", {}, mean(first, last, `${stage}_seconds`))),
    make("td", {}, last.requests_succeeded_total.toLocaleString("en")),
  );
}

function rate(before, after) {
  return (after.requests_succeeded_total - before.requests_succeeded_total) / ((after.now - before.now) / 1000);
}

function mean(first, last, metric) {
  const times = last[`${metric}_count`] - first[`${metric}_count`];
  return times > 0 ? milliseconds((1000 * (last[`${metric}_sum`] - first[`${metric}_sum`])) / times) : "–";
}

function line(rates) {
  const highest = Math.max(1, ...rates);
  const step = WIDTH / (KEPT - 2);
  const points = rates.map((value, index) => {
    const x = WIDTH - step * (rates.length - 1 - index);
    return `${x.toFixed(1)},${(HEIGHT - 2 - (HEIGHT - 4) * (value / highest)).toFixed(1)}`;
  });
  const attributes = { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, "aria-hidden": "true" };
  const base = draw("line", { x1: 0, x2: WIDTH, y1: HEIGHT - 1, y2: HEIGHT - 1 });
  return draw("svg", attributes, base, draw("polyline", { points: points.join(" ") }));
}
