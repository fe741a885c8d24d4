// The entry point of the page: selects a model and an image, and shows the model's answer.

import { Batch } from "./batch.js";
import { hasCamera, setUpCamera } from "./camera.js";
import { renderCard } from "./card.js";
import { Pad } from "./drawing.js";
import { byId, make } from "./elements.js";
import { frameFor, renderDrawing } from "./framing.js";
import { Insight } from "./insight.js";
import { promptForKey } from "./key.js";
import { Models } from "./models.js";
import { setBusy, showAnswers, showBatch, showFailure, showHint } from "./panel.js";
import { setUpPhotos, showPhotos } from "./photo.js";
import { ConnectionError, infer, setKeyPrompt } from "./server.js";
import { setUpTabs } from "./tabs.js";
import { poll } from "./watching.js";
import { onLanguageChange, t } from "./words.js";

const STROKE_PAUSE_MS = 350; // A drawing is complete after this pause.
const PROBLEMS = {
  READY: "page.problem",
  UNAVAILABLE: "page.problem_unavailable",
  LOADING: "page.problem_loading",
  UNLOADING: "page.problem_unloading",
};

const models = new Models();
const insight = new Insight();
let selected = "";
let input = null; // What to classify: {kind: "drawing"}, {kind: "file", file}, {kind: "batch"} or null.
let batch = null; // The latest batch of photos, also while the answer to one of them is open.
let latestRun = 0; // The number of the latest run. The page ignores the results of earlier runs.
let needsRetry = false; // Whether to classify again, because the connection failed or no model was ready.
let pauseTimer = 0;

setKeyPrompt(promptForKey);

const pad = new Pad(byId("pad"), onDrawingChange);
const stopCamera = hasCamera() ? setUpCamera((file) => setInput({ kind: "file", file })) : () => {};
byId("tab-camera").hidden = !hasCamera();
const showPanel = setUpTabs(byId("tabs"), (id) => id !== "camera" && stopCamera());
const showAnswerPanel = setUpTabs(byId("answer-tabs"), (id) => insight.setOpen(id === "inside"));
setUpPhotos((files) => {
  showPanel("photo");
  showPhotos(files);
  if (files.length === 1) return setInput({ kind: "file", file: files[0] });
  setInput({ kind: "batch" }, new Batch(files, openPhoto));
});
byId("clear").addEventListener("click", () => pad.clear());
byId("pad").addEventListener("pointerdown", () => {
  byId("paper-hint").hidden = true;
});
byId("model").addEventListener("change", (event) => select(event.target.value));
showHint();
onLanguageChange(showModels);
poll(models, {
  onServer: showExtensions,
  onModelsChange: showModels,
  onConnected: () => needsRetry && classify(),
});

function onDrawingChange() {
  clearTimeout(pauseTimer);
  byId("clear").disabled = pad.strokes.length === 0;
  if (pad.strokes.length > 0) {
    pauseTimer = setTimeout(() => pad.isDrawing || setInput({ kind: "drawing" }), STROKE_PAUSE_MS);
    return;
  }
  byId("model-input").hidden = true;
  byId("paper-hint").hidden = false;
  if (input?.kind === "drawing") setInput(null);
}

/** Set what to classify. Another image cancels the batch. */
function setInput(next, nextBatch = null) {
  if (batch !== nextBatch) batch?.cancel();
  batch = nextBatch;
  input = next;
  classify();
}

/** Show the whole answer to one photo of the batch, which continues. */
function openPhoto(file) {
  showPhotos([file]);
  setInput({ kind: "file", file }, batch);
}

function closePhoto() {
  showPhotos(batch.files);
  setInput({ kind: "batch" }, batch);
}

function showExtensions(extensions) {
  const explains = extensions.includes("explain");
  byId("answer-tabs").hidden = !explains;
  if (!explains) showAnswerPanel("labels");
}

function showModels() {
  const ready = models.ready();
  const list = byId("model");
  const names = ready.map((entry) => entry.name);
  list.replaceChildren(...names.map((name) => make("option", { value: name }, name)));
  list.disabled = names.length === 0;
  if (names.length === 0) list.append(make("option", {}, t("page.no_model")));
  showProblems();
  if (names.includes(selected)) list.value = selected;
  else if (names.length > 0) select(names[0]);
  if (names.length > 0) showCard();
  else byId("card").replaceChildren(make("p", { class: "hint" }, t("page.no_model")));
}

function showProblems() {
  const problems = models.problems();
  byId("model-problems").hidden = problems.length === 0;
  byId("model-problems").replaceChildren(
    ...problems.map(({ name, state, reason }) =>
      make("li", {}, make("strong", {}, name), t(PROBLEMS[state]), make("span", { lang: "en" }, reason)),
    ),
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

/** Classify the image or the batch with the selected model. */
async function classify() {
  const run = ++latestRun;
  const cards = models.withSibling(selected);
  needsRetry = input !== null && cards.length === 0; // No model is ready yet.
  insight.setSubject(subject());
  if (input === null) return showHint();
  if (cards.length === 0) return;
  setBusy(input.kind !== "batch");
  try {
    if (input.kind === "batch") await classifyBatch(run);
    else await classifyImage(run, cards);
  } catch (error) {
    if (run === latestRun) fail(error);
  } finally {
    if (run === latestRun) setBusy(false);
  }
}

/** Classify one image with each model, one after the other so that they do not compete. */
async function classifyImage(run, cards) {
  const [source, answers] = [input, []];
  for (const card of cards) answers.push({ card, ...(await infer(card.name, await imageFor(source, card))) });
  const back = batch && { count: batch.files.length, onBack: closePhoto };
  if (run === latestRun) showAnswers(answers, back);
}

async function classifyBatch(run) {
  showBatch(batch, { isComplete: false });
  const isComplete = await batch.run(models.card(selected));
  if (run === latestRun && isComplete) showBatch(batch, { isComplete });
}

/** Return the image file of a drawing or a file for a card's model. */
async function imageFor(source, card) {
  if (source.kind === "file") return source.file;
  const image = await renderDrawing(pad.strokes, frameFor(card));
  const preview = byId("model-input");
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(image);
  preview.hidden = false;
  return image;
}

/** Return the model, its sibling and the image for the tab "Inside"; null if there is not exactly one image. */
function subject() {
  const card = models.card(selected);
  if (card === null || input === null || input.kind === "batch") return null;
  const source = input;
  const isOther = ({ name, cascade }) => name !== selected && cascade === null; // A cascade cannot be explained.
  const other = models.withSibling(selected).find(isOther)?.name ?? null;
  return { model: selected, other, image: () => imageFor(source, card) };
}

function fail(error) {
  if (typeof error.show !== "function") throw error; // a bug in the page
  needsRetry = error instanceof ConnectionError;
  showFailure(error, { batch: input.kind === "batch" ? batch : null, onRetry: classify });
}
