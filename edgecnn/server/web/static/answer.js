// The answer section: the most probable labels and the times of one model, or of two models side by side.

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

/** Return the probabilities of a model's labels, each from 0 to 1. */
function probabilitiesOf(card, logits) {
  return card.scores.activation === "sigmoid" ? logits.map((logit) => 1 / (1 + Math.exp(-logit))) : softmax(logits);
}

function softmax(logits) {
  const highest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - highest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/**
 * Return the most probable labels of a card's model, as [{label, probability, isGiven}]: five, or more if the image has
 * more. The image has the most probable label, or each label whose probability is at least the threshold.
 */
export function topLabels(card, logits) {
  const probabilities = probabilitiesOf(card, logits);
  const { multi_label: hasSeveral, threshold } = card.scores;
  const least = Math.log(threshold / (1 - threshold));
  const ranked = logits
    .map((logit, index) => ({ label: card.labels[index], logit, probability: probabilities[index] }))
    .sort((one, other) => other.logit - one.logit)
    .map(({ logit, ...rest }, rank) => ({ ...rest, isGiven: hasSeveral ? logit >= least : rank === 0 }));
  return ranked.filter(({ isGiven }, rank) => isGiven || rank < TOP);
}

function givenLabels(top) {
  return top.filter(({ isGiven }) => isGiven).map(({ label }) => label);
}

function answerText(top) {
  return givenLabels(top).join(", ") || "no label";
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
    const top = topLabels(card, logits);
    const probability = card.scores.multi_label ? "" : `, ${percent(top[0].probability)}`;
    return `${answers.length > 1 ? `${card.name}: ` : ""}${answerText(top)}${probability}`;
  });
  return `${parts.join("; ")}.`;
}

function renderAnswer({ card, logits, timing }) {
  const top = topLabels(card, logits);
  const answer = answerText(top);
  const { multi_label: hasSeveral, threshold } = card.scores;
  return make(
    "article",
    { class: "column", "aria-label": card.name },
    make("p", { class: "model-title" }, make("span", { class: "name" }, card.name), chip(card.precision)),
    make(
      "p",
      { class: "first" },
      make("span", { class: answer.length > LONG_LABEL ? "label long" : "label" }, answer),
      make(
        "span",
        { class: "probability" },
        hasSeveral ? `threshold ${percent(threshold)}` : percent(top[0].probability),
      ),
    ),
    make("ol", { class: "top-five", "aria-label": "Most probable labels" }, ...top.map(row)),
    renderTimes(timing),
  );
}

/** Return a small box with a precision. */
export function chip(precision) {
  return make("span", { class: `chip ${precision}` }, precision.toUpperCase());
}

function row({ label, probability, isGiven }) {
  return make(
    "li",
    { class: isGiven ? "given" : "" },
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
    return { card, probabilities: probabilitiesOf(card, logits), top: topLabels(card, logits) };
  });
  const differences = one.probabilities.map((value, index) => Math.abs(value - other.probabilities[index]));
  const points = 100 * Math.max(...differences);
  const [oneAnswer, otherAnswer] = [one, other].map(({ top }) => answerText(top));
  const isSame = givenLabels(one.top).sort().join() === givenLabels(other.top).sort().join();
  const hasSamePrecision = one.card.precision === other.card.precision;
  const name = ({ card }) => (hasSamePrecision ? card.name : card.precision.toUpperCase());
  const summary = isSame
    ? `Both models predict ${oneAnswer}.`
    : `The models differ: ${name(one)} predicts ${oneAnswer}, ${name(other)} predicts ${otherAnswer}.`;
  return make(
    "p",
    { class: `agreement ${isSame ? "agree" : "differ"}` },
    make("strong", {}, summary),
    ` Their probabilities differ by at most ${points < 0.05 ? "0.05" : points.toFixed(1)} percentage points.`,
  );
}
