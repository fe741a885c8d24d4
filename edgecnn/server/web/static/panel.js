// The answer panel: a hint, the answers, the grid of a batch, or the reason of a failure.

import { describeAnswers, renderAnswers } from "./answer.js";
import { byId, make } from "./elements.js";
import { StatusError } from "./server.js";
import { onLanguageChange, t, translate } from "./words.js";

let redraw = () => {};

onLanguageChange(() => redraw());

/** Show the hint for a page without an image. */
export function showHint() {
  show(() => [[make("p", { class: "empty" }, t("page.empty"))], ""]);
}

/** Show the answers of one or two models. With `back`, {count, onBack}, also a button that leads back to the photos. */
export function showAnswers(answers, back = null) {
  show(() => [[...backButton(back), ...renderAnswers(answers)], describeAnswers(answers)]);
}

/** Show the grid of a batch, and say its result when it is complete. */
export function showBatch(batch, { isComplete }) {
  show(() => {
    batch.redraw();
    return [[batch.element], isComplete ? batch.describe() : ""];
  });
}

/** Show why a request failed, below the grid of a batch if there is one; with a button if another try may help. */
export function showFailure(error, { batch, onRetry }) {
  if (batch === null) show(() => [[], ""]);
  else showBatch(batch, { isComplete: false });
  const isFinal = error instanceof StatusError && error.status < 500; // The same request would fail again.
  const button = make("button", { type: "button", "data-t": "page.try_again" });
  button.addEventListener("click", onRetry);
  byId("failure").replaceChildren(error.show(), ...(isFinal ? [] : [button]));
  translate(byId("failure"));
}

/** Show whether the answer is being computed. */
export function setBusy(isBusy) {
  byId("answer").setAttribute("aria-busy", String(isBusy));
}

/** Show what a function draws: [elements, text for screen readers]. It is called again in another language. */
function show(draw) {
  redraw = () => {
    const [elements, spoken] = draw();
    byId("answer").replaceChildren(...elements);
    byId("announcement").textContent = spoken;
  };
  byId("failure").replaceChildren();
  redraw();
}

function backButton(back) {
  if (back === null) return [];
  const button = make("button", { type: "button", class: "secondary back" }, t("batch.back", { count: back.count }));
  button.addEventListener("click", back.onBack);
  return [button];
}
