// The entry point of the page: selects a model and an image, and shows the model's answer.

import { describeAnswers, renderAnswers } from "./answer.js";
import { hasCamera, setUpCamera } from "./camera.js";
import { renderCard } from "./card.js";
import { Pad } from "./drawing.js";
import { byId, make } from "./elements.js";
import { frameFor, renderDrawing } from "./framing.js";
import { promptForKey } from "./key.js";
import { Models } from "./models.js";
import { setUpPhotos } from "./photo.js";
import { ConnectionError, StatusError, infer, setKeyPrompt } from "./server.js";
import { setUpTabs } from "./tabs.js";
import { setUpTheme } from "./theme.js";
import { poll } from "./watching.js";

const STROKE_PAUSE_MS = 350; // A drawing is complete after this pause.

const models = new Models();
let selected = "";
let input = null; // The image to classify: {kind: "drawing"}, {kind: "file", file} or null.
let latestRun = 0; // The number of the latest run. The page ignores the results of earlier runs.
let needsRetry = false; // Whether to classify again, because the connection failed or no model was ready.
let pauseTimer = 0;

setKeyPrompt(promptForKey);
setUpTheme(byId("theme"));

const pad = new Pad(byId("pad"), onDrawingChange);
const stopCamera = hasCamera() ? setUpCamera((file) => setInput({ kind: "file", file })) : () => {};
byId("tab-camera").hidden = !hasCamera();
const showPanel = setUpTabs(byId("tabs"), (id) => id !== "camera" && stopCamera());
setUpPhotos((file) => {
  showPanel("photo");
  setInput({ kind: "file", file });
});
byId("clear").addEventListener("click", () => pad.clear());
byId("pad").addEventListener("pointerdown", () => {
  byId("paper-hint").hidden = true;
});
byId("model").addEventListener("change", (event) => select(event.target.value));
showPlaceholder();
poll(models, { onModelsChange: showModels, onConnected: () => needsRetry && classify() });

function onDrawingChange() {
  clearTimeout(pauseTimer);
  byId("clear").disabled = pad.strokes.length === 0;
  if (pad.strokes.length > 0) {
    pauseTimer = setTimeout(() => pad.isDrawing || setInput({ kind: "drawing" }), STROKE_PAUSE_MS);
    return;
  }
  byId("model-input").hidden = true;
  byId("paper-hint").hidden = false;
  if (input?.kind === "drawing") {
    input = null;
    latestRun++;
    showPlaceholder();
  }
}

function setInput(next) {
  input = next;
  classify();
}

function showModels() {
  const ready = models.ready();
  const list = byId("model");
  const names = ready.map((entry) => entry.name);
  list.replaceChildren(...names.map((name) => make("option", { value: name }, name)));
  list.disabled = names.length === 0;
  if (names.length === 0) list.append(make("option", {}, "No model is ready"));
  showProblems();
  if (names.includes(selected)) list.value = selected;
  else if (names.length > 0) select(names[0]);
  if (names.length > 0) showCard();
  else byId("card").replaceChildren(make("p", { class: "hint" }, "No model is ready."));
}

function showProblems() {
  const problems = models.problems();
  byId("model-problems").hidden = problems.length === 0;
  byId("model-problems").replaceChildren(
    ...problems.map(({ name, state, reason }) => {
      const status = state === "READY" ? "is ready, with a problem" : `is ${state.toLowerCase()}`;
      return make("li", {}, make("strong", {}, name), ` ${status}: ${reason}`);
    }),
  );
}

function select(name) {
  const isFirst = selected === "";
  selected = byId("model").value = name;
  const card = models.card(name);
  if (isFirst && card !== null && card.image[2] !== 1) showPanel("photo");
  showCard();
  if (input !== null) classify();
}

function showCard() {
  const card = models.card(selected);
  if (card !== null) byId("card").replaceChildren(...renderCard(card));
}

function showPlaceholder() {
  const text = "Draw or choose an image. The answer appears automatically.";
  byId("failure").replaceChildren();
  byId("announcement").textContent = "";
  byId("answer").replaceChildren(make("p", { class: "empty" }, text));
}

/** Classify the image with the selected model and its sibling, one after the other so that they do not compete. */
async function classify() {
  const run = ++latestRun;
  const cards = models.withSibling(selected);
  needsRetry = input !== null && cards.length === 0; // No model is ready yet.
  if (input === null || cards.length === 0) return;
  byId("answer").setAttribute("aria-busy", "true");
  try {
    const answers = [];
    for (const card of cards) answers.push({ card, ...(await infer(card.name, await imageFor(card))) });
    if (run !== latestRun) return;
    byId("failure").replaceChildren();
    byId("answer").replaceChildren(...renderAnswers(answers));
    byId("announcement").textContent = describeAnswers(answers);
  } catch (error) {
    if (run === latestRun) showFailure(error);
  } finally {
    if (run === latestRun) byId("answer").setAttribute("aria-busy", "false");
  }
}

/** Return the image file to send to a card's model. */
async function imageFor(card) {
  if (input.kind === "file") return input.file;
  const image = await renderDrawing(pad.strokes, frameFor(card));
  const preview = byId("model-input");
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(image);
  preview.hidden = false;
  return image;
}

function showFailure(error) {
  needsRetry = error instanceof ConnectionError;
  byId("answer").replaceChildren();
  byId("announcement").textContent = "";
  byId("failure").replaceChildren(make("p", {}, error.message));
  if (error instanceof StatusError && error.status < 500) return; // The same request would fail again.
  const button = make("button", { type: "button" }, "Try again");
  button.addEventListener("click", classify);
  byId("failure").append(button);
}
