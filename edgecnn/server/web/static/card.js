// The model card: the facts about a model, its engine, its self-test on this machine, and its proof.

import { chip } from "./answer.js";
import { bar, make } from "./elements.js";
import { stackingTable } from "./table.js";
import { count, error, percent, size } from "./wording.js";
import { currentLanguage, t } from "./words.js";

const SHORT_DIGEST = 12; // characters

/** Return the elements of a model's card. */
export function renderCard(card) {
  const [height, width, channels] = card.image;
  const { engine } = card;
  return [
    make("p", { class: "model-title" }, make("span", { class: "name" }, card.name), chip(card.precision)),
    make(
      "dl",
      { class: "facts" },
      fact("version", card.version),
      fact("architecture", card.architecture ?? t("card.unknown")),
      fact("input", t(channels === 1 ? "card.grey" : "card.colour", { height, width })),
      fact("classes", String(card.labels.length)),
      fact("size", size(card.size_bytes)),
      fact("macs", card.macs === null ? t("card.not_counted") : count(card.macs, currentLanguage())),
      fact("engine", `${engine.name} ${shortVersion(engine.version)}`),
      fact("runs_on", runsOn(engine)),
      ...(card.scores.unsure_margin === null ? [] : [fact("unsure", String(card.scores.unsure_margin))]),
      ...(card.cascade === null ? [] : cascadeFacts(card.cascade)),
      fact("created", card.created.slice(0, 10)),
    ),
    make("div", { class: "proofs" }, renderSelfTest(card.self_test), renderProof(card)),
    renderDigest(card.digest),
  ];
}

function cascadeFacts({ threshold, share }) {
  const sealed = share === null ? [] : [fact("runs_again_share", percent(share, 2))];
  return [fact("runs_again", String(Number(threshold.toPrecision(4)))), ...sealed];
}

function fact(name, value) {
  return make("div", {}, make("dt", {}, t(`card.${name}`)), make("dd", {}, value));
}

function runsOn({ device, threads, instances }) {
  const several = instances > 1 ? t("card.instances", { instances }) : "";
  return `${t(threads === 1 ? "card.thread" : "card.threads", { device, threads })}${several}`;
}

function shortVersion(version) {
  return version.split("-")[0];
}

function renderSelfTest(selfTest) {
  const { images, encoded: files } = selfTest;
  return make(
    "div",
    { class: `self-test ${selfTest.holds ? "passed" : "failed"}` },
    make("h3", {}, t(selfTest.holds ? "card.passed" : "card.failed")),
    make("p", {}, t(files > 0 ? "card.ran_files" : "card.ran", { images, files })),
    bar(selfTest.tolerance > 0 ? selfTest.max_error / selfTest.tolerance : 0, "gauge"),
    make(
      "p",
      {},
      t("card.largest"),
      make("strong", {}, error(selfTest.max_error)),
      t("card.tolerance", { value: error(selfTest.tolerance) }),
    ),
  );
}

function renderProof({ proof, scores }) {
  const head = ["engine", "reference", "bundle", "agreement"].map((name) => t(`card.${name}`));
  const rows = proof.engines.map((each) => [
    `${each.name} ${shortVersion(each.version)}`,
    ...[each.reference_top1, each.top1, each.agreement].map(percentOrDash),
  ]);
  return make(
    "div",
    { class: "proof" },
    make("h3", {}, t("card.proof")),
    make("p", {}, t(scores.multi_label ? "card.exact" : "card.accuracy", proof.data)),
    stackingTable(t("card.proof"), head, rows),
  );
}

function percentOrDash(fraction) {
  return fraction === null ? "–" : percent(fraction, 2);
}

function renderDigest(digest) {
  const code = make("code", { title: digest }, `${digest.slice(0, SHORT_DIGEST)}…`);
  const line = make("p", { class: "digest" }, make("span", { class: "hint" }, t("card.digest")), code);
  if (!navigator.clipboard) {
    code.textContent = digest; // Insecure contexts have no clipboard API. Users select and copy the text.
    return line;
  }
  const button = make("button", { type: "button", class: "secondary" }, t("card.copy"));
  button.setAttribute("aria-label", t("card.copy_digest"));
  const status = make("span", { class: "hint", role: "status" });
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(digest);
      status.textContent = t("card.copied");
    } catch {
      status.textContent = digest;
    }
  });
  line.append(button, status);
  return line;
}
