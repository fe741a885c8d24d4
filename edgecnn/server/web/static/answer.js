// The answer section: the five most probable labels and the times of one model, or of two models side by side.

import { bar, make } from "./elements.js";
import { milliseconds, percent } from "./wording.js";

const TOP = 5;
const LONG_LABEL = 12; // Longer labels, in characters, use a smaller font.
const STAGES = [
  ["decode", "Decode"],
  ["queue", "Queue"],
  ["inference", "Inference"],
  ["network", "Network"],
];

/** Return the softmax over all logits, each value from 0 to 1. */
export function softmax(logits) {
  const highest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - highest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/** Return the five most probable labels of a card's model, as [{label, probability}]. */
export function topLabels(card, logits) {
  return softmax(logits)
    .map((probability, index) => ({ label: card.labels[index], probability }))
    .sort((one, other) => other.probability - one.probability)
    .slice(0, TOP);
}

/** Return elements that show the answers of one or two models. Each answer is {card, logits, timing}. */
export function renderAnswers(answers) {
  const columns = make("div", { class: answers.length > 1 ? "pair" : "single" });
  columns.append(...answers.map(renderAnswer));
  return answers.length > 1 ? [agreement(answers), columns] : [columns];
}

/** Return one sentence with the answers, for screen readers. */
export function describeAnswers(answers) {
  const parts = answers.map(({ card, logits }) => {
    const [first] = topLabels(card, logits);
    return `${answers.length > 1 ? `${card.name}: ` : ""}${first.label}, ${percent(first.probability)}`;
  });
  return `${parts.join("; ")}.`;
}

function renderAnswer({ card, logits, timing }) {
  const top = topLabels(card, logits);
  return make(
    "article",
    { class: "column", "aria-label": card.name },
    make("p", { class: "model-title" }, make("span", { class: "name" }, card.name), chip(card.precision)),
    make(
      "p",
      { class: "first" },
      make("span", { class: top[0].label.length > LONG_LABEL ? "label long" : "label" }, top[0].label),
      make("span", { class: "probability" }, percent(top[0].probability)),
    ),
    make("ol", { class: "top-five", "aria-label": "Most probable labels" }, ...top.map(row)),
    renderTimes(timing),
  );
}

/** Return a small box with a precision. */
export function chip(precision) {
  return make("span", { class: `chip ${precision}` }, precision.toUpperCase());
}

function row({ label, probability }) {
  return make(
    "li",
    {},
    make("span", { class: "label", title: label }, label),
    bar(probability),
    make("span", { class: "value" }, percent(probability)),
  );
}

function renderTimes(timing) {
  const stack = make("div", { class: "stack", "aria-hidden": "true" });
  const list = make("dl", { class: "times" });
  for (const [name, title] of STAGES) {
    const part = make("span", { class: name });
    part.style.flexGrow = timing[name] / timing.total;
    stack.append(part);
    list.append(
      make("div", { class: name }, make("dt", {}, title), make("dd", {}, milliseconds(timing[name]))),
    );
  }
  const total = make("p", { class: "total" }, "Response time ", make("strong", {}, milliseconds(timing.total)));
  return make("div", { class: "timing" }, total, stack, list);
}

/** Return an element that says whether two models predict the same label, and how much their probabilities differ. */
function agreement(answers) {
  const [one, other] = answers.map(({ card, logits }) => {
    return { card, probabilities: softmax(logits), first: topLabels(card, logits)[0] };
  });
  const differences = one.probabilities.map((value, index) => Math.abs(value - other.probabilities[index]));
  const points = 100 * Math.max(...differences);
  const isSame = one.first.label === other.first.label;
  const hasSamePrecision = one.card.precision === other.card.precision;
  const name = ({ card }) => (hasSamePrecision ? card.name : card.precision.toUpperCase());
  const summary = isSame
    ? `Both models predict ${one.first.label}.`
    : `The models differ: ${name(one)} predicts ${one.first.label}, ${name(other)} predicts ${other.first.label}.`;
  return make(
    "p",
    { class: `agreement ${isSame ? "agree" : "differ"}` },
    make("strong", {}, summary),
    ` Their probabilities differ by at most ${points < 0.05 ? "0.05" : points.toFixed(1)} percentage points.`,
  );
}
