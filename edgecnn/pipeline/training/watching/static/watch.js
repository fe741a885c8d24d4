// The live page of a training. It asks the training's process for the state once a second and draws it.

import { drawChart } from "./charts.js";
import { byId, make } from "./elements.js";
import { percent } from "./wording.js";
import { currentLanguage, onLanguageChange, t } from "./words.js";

const INTERVAL_MS = 1000;
const PATIENCE = 3; // failed requests before the page says that the training is gone
const ENDS = ["finished", "failed", "interrupted"];
const DECADE = 10;

let state = null;
let pictures = [];
let failures = 0;
let charts = null;

async function fetchJson(path) {
  const answer = await fetch(path, { cache: "no-store" });
  if (!answer.ok) throw new Error(answer.statusText);
  return answer.json();
}

async function update() {
  const next = await fetchState();
  if (next === null) {
    failures += 1;
    if (failures >= PATIENCE) drawPhase();
  } else {
    const isNew = state?.revision !== next.revision || failures > 0;
    failures = 0;
    state = next;
    if (isNew) draw();
  }
  if (!ENDS.includes(state?.phase)) setTimeout(update, INTERVAL_MS);
}

/** Return the state, after the pictures that it refers to; null if the training's process does not answer. */
async function fetchState() {
  try {
    const next = await fetchJson("state");
    if (next.samples.length > pictures.length) pictures = await fetchJson("pictures");
    return next;
  } catch {
    return null;
  }
}

let drawn = ""; // what the figures and tables show; they change once an epoch, the progress every second

function draw() {
  if (state === null) return;
  drawPhase();
  drawProgress();
  const shown = JSON.stringify([state.history.length, state.samples, state.best_epoch, currentLanguage()]);
  if (shown === drawn) return;
  drawn = shown;
  const hasEpochs = state.history.length > 0;
  byId("no-epoch").hidden = hasEpochs;
  byId("curves").hidden = !hasEpochs;
  byId("epochs-section").hidden = !hasEpochs;
  byId("samples-section").hidden = state.samples.length === 0;
  drawSamples();
  if (!hasEpochs) return;
  drawCurves();
  drawEpochs();
}

function drawPhase() {
  const isLost = failures >= PATIENCE;
  const phase = isLost ? "lost" : state.phase;
  const values = { epoch: state?.history.length ?? 0, epochs: state?.epochs ?? 0, best: state?.best_epoch ?? 0 };
  const top1 = state?.test_top1 === null || isLost ? "" : percent(state.test_top1, 2);
  setText("phase", t(`watch.phase.${phase}`, { ...values, top1 }));
  setText("error", state?.error ?? "");
  setText("subject", state?.network ? t("watch.subject", { network: state.network, source: state.source }) : "");
}

function drawProgress() {
  const progress = ENDS.includes(state.phase) ? null : state.progress;
  byId("progress").hidden = progress === null;
  if (progress === null) return;
  const share = progress.total ? progress.done / progress.total : 0;
  setText("stage", `${t(`watch.stage.${progress.stage}`)}: ${progress.done} / ${progress.total}`);
  byId("meter").value = share;
  setText("note", noteText(progress.note));
}

/** Return the note of the last step in the page's language. */
function noteText(note) {
  const found = /^epoch (\d+), loss ([\d.]+), (\d+) images\/s$/.exec(note);
  return found ? t("watch.note", { epoch: found[1], loss: found[2], speed: found[3] }) : note;
}

function setText(id, text) {
  if (byId(id).textContent !== text) byId(id).textContent = text; // a status is read aloud again when it is set
}

function drawCurves() {
  const describe = {
    loss: () => chart("loss", [["training", "loss"], ["validation", "validation_loss"]], true),
    accuracy: () => chart("accuracy", [["training", "accuracy"], ["validation", "validation_top1"]], false),
    rate: () => chart("rate", [["rate", "learning_rate"]], true),
  };
  if (charts === null) {
    charts = Object.entries(describe).map(([name, description]) => [name, drawChart(byId(name), description)]);
  } else {
    for (const [name, redraw] of charts) redraw(describe[name]);
  }
}

function chart(name, lines, mayBeLog) {
  const series = lines
    .map(([label, field]) => {
      const known = state.history.map((epoch, index) => [index + 1, epoch[field]]).filter(([, value]) => value !== null);
      return { label: t(`watch.${label}`), kind: "line", x: known.map(([x]) => x), y: known.map(([, y]) => y) };
    })
    .filter((line) => line.x.length > 0);
  const values = series.flatMap((line) => line.y);
  const isLog = mayBeLog && Math.min(...values) > 0 && Math.max(...values) >= DECADE * Math.min(...values);
  const format = name === "accuracy" ? (value) => percent(value) : (value) => String(Number(value.toPrecision(3)));
  return {
    title: t(`watch.chart.${name}`) + (isLog ? t("watch.logarithmic") : ""),
    x: { label: t("watch.epoch"), format: (value) => (Number.isInteger(value) ? String(value) : "") },
    y: { label: t(`watch.chart.${name}`), log: isLog, format },
    series,
  };
}

function drawSamples() {
  const items = state.samples.map((sample, index) => {
    const verdict = t(sample.right ? "watch.right" : "watch.wrong");
    return make(
      "li", { class: sample.right ? "right" : "wrong" },
      make("img", { src: pictures[index] ?? "", alt: t("watch.image_of", { label: sample.label }), class: "pixels" }),
      make("span", {}, `${t("watch.label")}: `, name(sample.label)),
      make("span", {}, `${t("watch.prediction")}: `, name(sample.prediction)),
      make("span", { class: "answer" }, `${percent(sample.probability)}, ${verdict}`),
    );
  });
  byId("samples").replaceChildren(...items);
}

/** Return the name of a class, which may run from right to left. */
function name(label) {
  return make("bdi", {}, label);
}

function drawEpochs() {
  const keys = ["epoch", "loss", "accuracy", "validation_loss", "validation_top1", "learning_rate", "duration"];
  const head = keys.map((key) => make("th", { scope: "col", class: "number" }, t(`watch.column.${key}`)));
  const rows = state.history.map((epoch, index) => {
    const isBest = index + 1 === state.best_epoch;
    const cells = [
      number(epoch.loss), percent(epoch.accuracy, 2), number(epoch.validation_loss),
      epoch.validation_top1 === null ? "–" : percent(epoch.validation_top1, 2),
      Number(epoch.learning_rate.toPrecision(3)), `${epoch.duration_s.toFixed(1)} s`,
    ];
    const title = `${index + 1}${isBest ? ` (${t("watch.best")})` : ""}`;
    return make(
      "tr", isBest ? { class: "best" } : {}, make("th", { scope: "row", class: "number" }, title),
      ...cells.map((text) => make("td", { class: "number" }, String(text))),
    );
  });
  const caption = make("caption", {}, t("watch.newest_first"));
  const body = make("tbody", {}, ...rows.reverse());
  byId("epochs").replaceChildren(caption, make("thead", {}, make("tr", {}, ...head)), body);
}

function number(value) {
  return value === null ? "–" : value.toFixed(4);
}

onLanguageChange(draw);
update();
