// An answer: the five most probable labels, and where the time went; two answers side by side where two models gave one.

import { bar, make } from "./elements.js";
import { milliseconds, percent } from "./wording.js";

const SHOWN = 5;
const LONG = 12; // characters of a label that is set smaller
const PARTS = [
  ["decode", "Decode"],
  ["queue", "Queue"],
  ["inference", "Inference"],
  ["network", "Network"],
];

/** The softmax over all logits, each 0 to 1. */
export function softmax(logits) {
  const highest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - highest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/** Return the most probable labels of a card's model, as [{label, probability}]. */
export function ranked(card, logits) {
  return softmax(logits)
    .map((probability, index) => ({ label: card.labels[index], probability }))
    .sort((one, other) => other.probability - one.probability)
    .slice(0, SHOWN);
}

/** Return the answers of one or two models as elements; each is {card, logits, timing}. */
export function shownAnswers(answers) {
  const columns = make("div", { class: answers.length > 1 ? "pair" : "single" });
  columns.append(...answers.map(shownAnswer));
  return answers.length > 1 ? [verdict(answers), columns] : [columns];
}

/** Return the answers in a sentence, for whoever listens. */
export function spokenAnswers(answers) {
  const said = answers.map(({ card, logits }) => {
    const [first] = ranked(card, logits);
    return `${answers.length > 1 ? `${card.name}: ` : ""}${first.label}, ${percent(first.probability)}`;
  });
  return `${said.join("; ")}.`;
}

function shownAnswer({ card, logits, timing }) {
  const top = ranked(card, logits);
  return make(
    "article",
    { class: "one", "aria-label": card.name },
    make("p", { class: "who" }, make("span", { class: "name" }, card.name), chip(card.precision)),
    make(
      "p",
      { class: "first" },
      make("span", { class: top[0].label.length > LONG ? "label long" : "label" }, top[0].label),
      make("span", { class: "probability" }, percent(top[0].probability)),
    ),
    make("ol", { class: "five", "aria-label": "Most probable labels" }, ...top.map(row)),
    times(timing),
  );
}

/** A precision as a small sign. */
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

function times(timing) {
  const whole = make("div", { class: "stack", "aria-hidden": "true" });
  const list = make("dl", { class: "times" });
  for (const [name, title] of PARTS) {
    const part = make("span", { class: name });
    part.style.flexGrow = timing[name] / timing.total;
    whole.append(part);
    list.append(
      make("div", { class: name }, make("dt", {}, title), make("dd", {}, milliseconds(timing[name]))),
    );
  }
  const total = make("p", { class: "total" }, "Time to the answer ", make("strong", {}, milliseconds(timing.total)));
  return make("div", { class: "timing" }, total, whole, list);
}

function verdict(answers) {
  const [one, other] = answers.map(({ card, logits }) => ({ card, all: softmax(logits), first: ranked(card, logits)[0] }));
  const points = 100 * Math.max(...one.all.map((probability, index) => Math.abs(probability - other.all[index])));
  const isSame = one.first.label === other.first.label;
  const name = ({ card }, others) => (card.precision === others.card.precision ? card.name : card.precision.toUpperCase());
  const said = isSame
    ? `Both answer ${one.first.label}.`
    : `They differ: ${name(one, other)} answers ${one.first.label}, ${name(other, one)} answers ${other.first.label}.`;
  return make(
    "p",
    { class: `verdict ${isSame ? "agree" : "differ"}` },
    make("strong", {}, said),
    ` Their probabilities are at most ${points < 0.05 ? "0.05" : points.toFixed(1)} points apart.`,
  );
}
