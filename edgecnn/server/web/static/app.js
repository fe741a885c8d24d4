// The page: which model, which image, and what is asked of the server when.

import { shownAnswers, spokenAnswers } from "./answer.js";
import { camera, hasCamera } from "./camera.js";
import { shownCard } from "./card.js";
import { Pad } from "./drawing.js";
import { byId, make } from "./elements.js";
import { frameOf, framed } from "./framing.js";
import { enterKey } from "./key.js";
import { Models } from "./models.js";
import { photographs } from "./photo.js";
import { Gone, Refused, infer, onKeyNeeded } from "./server.js";
import { tabs } from "./tabs.js";
import { theme } from "./theme.js";
import { watch } from "./watching.js";

const STROKES_BELONG_TOGETHER_MS = 350;

const models = new Models();
let selected = "";
let picture = null; // what the answer is about: {kind: "drawing"}, or {kind: "file", file}
let question = 0; // counts up, so that an answer to an older one is not shown
let isUnanswered = false; // the server was gone when it was asked, or no model was ready

onKeyNeeded(enterKey);
theme(byId("theme"));

const pad = new Pad(byId("pad"), drawn);
const stopCamera = hasCamera() ? camera((file) => see({ kind: "file", file })) : () => {};
byId("tab-camera").hidden = !hasCamera();
const showPanel = tabs(byId("tabs"), (id) => id !== "camera" && stopCamera());
photographs((file) => {
  showPanel("photo");
  see({ kind: "file", file });
});
byId("clear").addEventListener("click", () => pad.clear());
byId("pad").addEventListener("pointerdown", () => {
  byId("paper-hint").hidden = true;
});
byId("model").addEventListener("change", (event) => select(event.target.value));
showNothing();
watch(models, { onModels: showModels, onThere: () => isUnanswered && answer() });

let waiting = 0;

function drawn() {
  clearTimeout(waiting);
  byId("clear").disabled = pad.strokes.length === 0;
  if (pad.strokes.length > 0) {
    waiting = setTimeout(() => pad.isBusy || see({ kind: "drawing" }), STROKES_BELONG_TOGETHER_MS);
    return;
  }
  byId("sent").hidden = true;
  byId("paper-hint").hidden = false;
  if (picture?.kind === "drawing") {
    picture = null;
    question++;
    showNothing();
  }
}

function see(next) {
  picture = next;
  answer();
}

function showModels() {
  const ready = models.ready();
  const list = byId("model");
  const names = ready.map((entry) => entry.name);
  list.replaceChildren(...names.map((name) => make("option", { value: name }, name)));
  list.disabled = names.length === 0;
  if (names.length === 0) list.append(make("option", {}, "No model is ready"));
  showTroubled();
  if (names.includes(selected)) list.value = selected;
  else if (names.length > 0) select(names[0]);
  if (names.length > 0) showCard();
  else byId("card").replaceChildren(make("p", { class: "hint" }, "No model is ready."));
}

function showTroubled() {
  const troubled = models.troubled();
  byId("waiting").hidden = troubled.length === 0;
  byId("waiting").replaceChildren(
    ...troubled.map(({ name, state, reason }) =>
      make("li", {}, make("strong", {}, name), ` ${state === "READY" ? "answers" : `is ${state.toLowerCase()}`}: ${reason}`),
    ),
  );
}

function select(name) {
  const isFirst = selected === "";
  selected = byId("model").value = name;
  const card = models.card(name);
  if (isFirst && card !== null && card.image[2] !== 1) showPanel("photo");
  showCard();
  if (picture !== null) answer();
}

function showCard() {
  const card = models.card(selected);
  if (card !== null) byId("card").replaceChildren(...shownCard(card));
}

function showNothing() {
  byId("failure").replaceChildren();
  byId("spoken").textContent = "";
  byId("answer").replaceChildren(make("p", { class: "empty" }, "Draw something, or show a photograph: the answer comes by itself."));
}

/** Ask the model, and its sibling where there is one, one after the other, so that neither slows the other down. */
async function answer() {
  const mine = ++question;
  const cards = models.together(selected);
  isUnanswered = picture !== null && cards.length === 0; // until a model is ready
  if (picture === null || cards.length === 0) return;
  byId("answer").setAttribute("aria-busy", "true");
  try {
    const answers = [];
    for (const card of cards) answers.push({ card, ...(await infer(card.name, await imageFor(card))) });
    if (mine !== question) return;
    byId("failure").replaceChildren();
    byId("answer").replaceChildren(...shownAnswers(answers));
    byId("spoken").textContent = spokenAnswers(answers);
  } catch (error) {
    if (mine === question) showFailure(error);
  } finally {
    if (mine === question) byId("answer").setAttribute("aria-busy", "false");
  }
}

async function imageFor(card) {
  if (picture.kind === "file") return picture.file;
  const image = await framed(pad.strokes, frameOf(card));
  const sent = byId("sent");
  URL.revokeObjectURL(sent.src);
  sent.src = URL.createObjectURL(image);
  sent.hidden = false;
  return image;
}

function showFailure(error) {
  isUnanswered = error instanceof Gone;
  byId("answer").replaceChildren();
  byId("spoken").textContent = "";
  byId("failure").replaceChildren(make("p", {}, error.message));
  if (error instanceof Refused && error.status < 500) return; // the same again would get the same answer
  const again = make("button", { type: "button" }, "Try again");
  again.addEventListener("click", answer);
  byId("failure").append(again);
}
