// "Inside the network": what each layer computes for one image. The content is an explanation, see explanation.py.

import { make } from "./elements.js";
import { onLanguageChange, t } from "./words.js";
import { answerSection } from "./inside-answer.js";
import { layersSection } from "./inside-layers.js";
import { looksSection } from "./inside-looks.js";
import { networkOf } from "./inside-network.js";
import { precisionSection } from "./inside-precision.js";

const LESSONS = ["dropout", "batch_norm"];
const shown = new Map();

onLanguageChange(() => {
  for (const [element, draw] of shown) {
    if (element.isConnected) draw();
    else shown.delete(element);
  }
});

/**
 * Draw an explanation into an element, in place of what it contains.
 *
 * The page has the strongest maps and the attention that the explanation contains. `loadMaps(layerId, first, count)`
 * returns a promise of more maps of a layer, and `attend(classNumber)` of the attention for any class.
 */
export function renderInside(element, explanation, { loadMaps, attend } = {}) {
  const network = networkOf(explanation, { loadMaps, attend });
  const draw = () => {
    const sections = [answerSection, looksSection, layersSection, precisionSection, lessonsSection];
    element.classList.add("inside");
    element.replaceChildren(...sections.map((section) => section(network)).filter(Boolean));
  };
  shown.set(element, draw);
  draw();
}

/** Return the section about layers that a graph for inference often does not contain. */
function lessonsSection() {
  const terms = LESSONS.flatMap((name) => [
    make("dt", {}, t(`explain.op.${name}`)),
    make("dd", {}, t(`explain.lesson.${name}`)),
  ]);
  return make(
    "section",
    { class: "panel-card" },
    make("h2", {}, t("explain.lessons")),
    make("dl", { class: "lessons prose" }, ...terms),
  );
}
