// The image and the answer of the network.

import { bar, make } from "./elements.js";
import { t } from "./words.js";
import { captioned } from "./inside-grid.js";
import { inputView } from "./inside-image.js";
import { isMultiLabel, labelOf, sizeOf } from "./inside-network.js";
import { number } from "./inside-values.js";
import { percent } from "./wording.js";

const SHOWN = 5;

/** Return the section with the image, the most probable classes, and which bundle computed them. */
export function answerSection(network) {
  const { explanation } = network;
  const image = captioned(
    t("explain.image.caption", { size: sizeOf(network.layers[0].shape) }),
    inputView(network).element,
  );
  const first = explanation.order[0];
  const title = first === undefined ? t("explain.answer") : t("explain.answer.is", { name: labelOf(network, first) });
  const rows = explanation.order.slice(0, SHOWN).map((target) => scoreRow(network, target));
  const answer = make(
    "div",
    { class: "answer" },
    make("h2", {}, title),
    make("ol", { class: "scores" }, ...rows),
    ...allClasses(network),
  );
  const notes = explanation.notes.map((note) => make("li", {}, t(`explain.note.${note}`)));
  return make(
    "section",
    { class: "panel-card" },
    make("div", { class: "overview" }, image, make("div", { class: "answer-side" }, answer, origins(network))),
    ...(notes.length ? [make("ul", { class: "notes hint" }, ...notes)] : []),
  );
}

function scoreRow(network, target) {
  const { probabilities } = network.explanation;
  return make(
    "li",
    {},
    make("span", { class: "label" }, labelOf(network, target)),
    bar(probabilities[target]),
    make("span", { class: "number" }, percent(probabilities[target])),
  );
}

/** Return a table of all classes, which is made when the reader opens it. */
function allClasses(network) {
  const { labels, logits, probabilities } = network.explanation;
  if (labels.length <= SHOWN) return [];
  const details = make("details", {}, make("summary", {}, t("explain.all", { n: labels.length })));
  details.addEventListener("toggle", () => {
    if (details.childElementCount > 1) return;
    const heads = ["number", "class", "logit", isMultiLabel(network) ? "score" : "probability"];
    const sorted = [...labels.keys()].sort((a, b) => probabilities[b] - probabilities[a] || a - b);
    const rows = sorted.map((target) =>
      make(
        "tr",
        {},
        make("td", { class: "number" }, String(target)),
        make("th", { scope: "row", class: "label" }, labels[target]),
        make("td", { class: "number" }, number(logits[target], 4)),
        make("td", { class: "number" }, percent(probabilities[target], 2)),
      ),
    );
    const head = heads.map((key) =>
      make("th", { scope: "col", class: key === "class" ? "" : "number" }, t(`explain.scores.${key}`)),
    );
    const table = make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
    details.append(
      make(
        "div",
        {
          class: "wide all-classes",
          tabindex: "0",
          role: "group",
          "aria-label": t("explain.all", { n: labels.length }),
        },
        table,
      ),
    );
  });
  return [details];
}

function origins({ explanation }) {
  const list = make("dl", { class: "facts" });
  const facts = {
    model: explanation.model,
    compared: explanation.compared,
    engine: explanation.engine,
    digest: explanation.digest.slice(0, 12),
  };
  for (const [key, text] of Object.entries(facts)) {
    if (text) list.append(make("div", {}, make("dt", {}, t(`explain.origin.${key}`)), make("dd", {}, text)));
  }
  return list;
}
