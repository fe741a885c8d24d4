// The answer section: the most probable labels and the times of one model, or of two models side by side.

import { bar, make } from "./elements.js";
import { milliseconds, percent } from "./wording.js";
import { t } from "./words.js";

const TOP = 5;
const LONG_LABEL = 12; // Longer labels, in characters, use a smaller font.
const STAGES = ["decode", "queue", "inference", "network"];

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
  const ranked = logits
    .map((logit, index) => ({ label: card.labels[index], logit, probability: probabilities[index] }))
    .sort((one, other) => other.logit - one.logit)
    .map(({ logit, ...rest }, rank) => ({ ...rest, isGiven: hasSeveral ? logit >= leastLogit(threshold) : rank === 0 }));
  return ranked.filter(({ isGiven }, rank) => isGiven || rank < TOP);
}

/**
 * Return whether an answer is unsure: its margin is below the bundle's. The margin is the difference of the best and the
 * second-best logit, or of several labels the smallest distance of a logit from the threshold.
 */
export function isUnsure(card, logits) {
  const { multi_label: hasSeveral, threshold, unsure_margin: least } = card.scores;
  if (least === null) return false;
  if (hasSeveral) return Math.min(...logits.map((logit) => Math.abs(logit - leastLogit(threshold)))) < least;
  const [first, second] = logits.toSorted((one, other) => other - one);
  return first - second < least;
}

function leastLogit(threshold) {
  return Math.log(threshold / (1 - threshold));
}

function givenLabels(top) {
  return top.filter(({ isGiven }) => isGiven).map(({ label }) => label);
}

/** Return the labels of an image as one text. */
export function answerText(top) {
  return givenLabels(top).join(", ") || t("page.no_label");
}

/** Return elements that show the answers of one or two models. Each answer is {card, logits, stage, timing}. */
export function renderAnswers(answers) {
  const columns = make("div", { class: answers.length > 1 ? "pair" : "single" });
  columns.append(...answers.map(renderAnswer));
  return answers.length > 1 ? [agreement(answers), columns] : [columns];
}

/** Return one sentence with the answers, for screen readers. */
export function describeAnswers(answers) {
  const parts = answers.map(({ card, logits, stage }) => {
    const top = topLabels(card, logits);
    const probability = card.scores.multi_label ? "" : `, ${percent(top[0].probability)}`;
    const doubt = isUnsure(card, logits) ? `, ${t("page.unsure")}` : "";
    const graph = stage === null ? "" : `, ${t(`page.${stage}`)}`;
    return `${answers.length > 1 ? `${card.name}: ` : ""}${answerText(top)}${probability}${doubt}${graph}`;
  });
  return `${parts.join("; ")}.`;
}

function renderAnswer({ card, logits, stage, timing }) {
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
        hasSeveral ? t("page.threshold", { share: percent(threshold) }) : percent(top[0].probability),
      ),
      ...(isUnsure(card, logits) ? [unsureMark()] : []),
      ...(stage === null ? [] : [stageMark(stage)]),
    ),
    make("ol", { class: "top-five", "aria-label": t("page.top") }, ...top.map(row)),
    renderTimes(timing),
  );
}

/** Return a small box that says that an answer is unsure. */
export function unsureMark() {
  return make("span", { class: "unsure", title: t("page.unsure_hint") }, t("page.unsure"));
}

/** Return a small box that says which graph of a cascade answered. */
export function stageMark(stage) {
  return make("span", { class: `chip ${stage}`, title: t(`page.${stage}_hint`) }, t(`page.${stage}`));
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
  for (const name of STAGES) {
    const part = make("span", { class: name });
    part.style.flexGrow = timing[name] / timing.total;
    stack.append(part);
    list.append(
      make("div", { class: name }, make("dt", {}, t(`page.${name}`)), make("dd", {}, milliseconds(timing[name]))),
    );
  }
  const total = make("p", { class: "total" }, t("page.response_time"), make("strong", {}, milliseconds(timing.total)));
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
  const names = { one: name(one), first: oneAnswer, other: name(other), second: otherAnswer };
  const summary = isSame ? t("page.agree", { label: oneAnswer }) : t("page.differ", names);
  return make(
    "p",
    { class: `agreement ${isSame ? "agree" : "differ"}` },
    make("strong", {}, summary),
    t("page.differences", { points: points < 0.05 ? "0.05" : points.toFixed(1) }),
  );
}
