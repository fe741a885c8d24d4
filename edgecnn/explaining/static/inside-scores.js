// Softmax or sigmoid: how the logits become probabilities.

import { bar, make } from "./elements.js";
import { t } from "./words.js";
import { isMultiLabel, labelOf } from "./inside-network.js";
import { number } from "./inside-values.js";
import { percent } from "./wording.js";

/** Return a table of the most probable classes: logit, exponential, probability. */
export function scoresView(network) {
  const { order, logits, probabilities } = network.explanation;
  const sigmoid = isMultiLabel(network);
  const largest = Math.max(...logits);
  const exponential = (logit) => (sigmoid ? Math.exp(-logit) : Math.exp(logit - largest));
  const sum = logits.reduce((total, logit) => total + exponential(logit), 0);
  const kind = sigmoid ? "sigmoid" : "softmax";
  const heads = ["class", "logit", `power.${kind}`, "probability"].map((key, index) =>
    make("th", { scope: "col", class: index ? "number" : "" }, t(`explain.scores.${key}`)),
  );
  const rows = order.map((target) => {
    const values = [number(logits[target], 4), number(exponential(logits[target]), 4), percent(probabilities[target])];
    return make(
      "tr",
      {},
      make("th", { scope: "row", class: "label" }, labelOf(network, target)),
      ...values.map((text) => make("td", { class: "number" }, text)),
      make("td", { class: "bar-cell" }, bar(probabilities[target])),
    );
  });
  const table = make(
    "table",
    {},
    make(
      "caption",
      {},
      t(`explain.scores.caption.${kind}`, { sum: number(sum, 4), n: order.length, all: logits.length }),
    ),
    make("thead", {}, make("tr", {}, ...heads, make("td", { class: "bar-cell" }))),
    make("tbody", {}, ...rows),
  );
  return make("div", { class: "wide", tabindex: "0", role: "group", "aria-label": t(`explain.op.softmax`) }, table);
}
