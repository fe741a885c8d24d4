// The model card: the facts about a model, its engine, its self-test on this machine, and its proof.

import { chip } from "./answer.js";
import { bar, make } from "./elements.js";
import { count, error, percent, size } from "./wording.js";

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
      ...fact("Version", card.version),
      ...fact("Architecture", card.architecture),
      ...fact("Input", `${height} × ${width}, ${channels === 1 ? "grey" : "colour"}`),
      ...fact("Classes", String(card.labels.length)),
      ...fact("Model size", size(card.size_bytes)),
      ...fact("Multiply-adds", card.macs === null ? "not counted" : count(card.macs)),
      ...fact("Engine", `${engine.name} ${shortVersion(engine.version)}`),
      ...fact("Runs on", runsOn(engine)),
      ...fact("Created", card.created.slice(0, 10)),
    ),
    make("div", { class: "proofs" }, renderSelfTest(card.self_test), renderProof(card)),
    renderDigest(card.digest),
  ];
}

function fact(name, value) {
  return [make("div", {}, make("dt", {}, name), make("dd", {}, value))];
}

function runsOn({ device, threads, instances }) {
  return `${device}, ${threads} thread${threads === 1 ? "" : "s"}${instances > 1 ? `, ${instances} instances` : ""}`;
}

function shortVersion(version) {
  return version.split("-")[0];
}

function renderSelfTest(selfTest) {
  const { encoded } = selfTest;
  const files = encoded > 0 ? ` and decoded ${encoded} image file${encoded === 1 ? "" : "s"}` : "";
  return make(
    "div",
    { class: `self-test ${selfTest.holds ? "passed" : "failed"}` },
    make("h3", {}, `Self-test ${selfTest.holds ? "passed" : "failed"} on this machine`),
    make("p", {}, `The server ran ${selfTest.images} images of the self-test${files} before the first request.`),
    bar(selfTest.tolerance > 0 ? selfTest.max_error / selfTest.tolerance : 0, "gauge"),
    make(
      "p",
      {},
      "Largest error ",
      make("strong", {}, error(selfTest.max_error)),
      `, tolerance ${error(selfTest.tolerance)}`,
    ),
  );
}

function renderProof({ proof, scores }) {
  const head = ["Engine", "Reference", "Bundle", "Agreement"];
  const rows = proof.engines.map((each) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, `${each.name} ${shortVersion(each.version)}`),
      ...[each.reference_top1, each.top1, each.agreement].map((value) => make("td", {}, percentOrDash(value))),
    ),
  );
  const { source, split, images } = proof.data;
  return make(
    "div",
    { class: "proof" },
    make("h3", { id: "proof-title" }, "Proof at build time"),
    make("p", {}, `${scores.multi_label ? "Exact match" : "Top-1 accuracy"} on ${images} images: ${source}, ${split}.`),
    make(
      "div",
      { class: "scroll", role: "region", "aria-labelledby": "proof-title", tabindex: "0" },
      make(
        "table",
        {},
        make("thead", {}, make("tr", {}, ...head.map((title) => make("th", { scope: "col" }, title)))),
        make("tbody", {}, ...rows),
      ),
    ),
  );
}

function percentOrDash(fraction) {
  return fraction === null ? "–" : percent(fraction, 2);
}

function renderDigest(digest) {
  const code = make("code", { title: digest }, `${digest.slice(0, SHORT_DIGEST)}…`);
  const line = make("p", { class: "digest" }, make("span", { class: "hint" }, "Digest"), code);
  if (!navigator.clipboard) {
    code.textContent = digest; // Insecure contexts have no clipboard API. Users select and copy the text.
    return line;
  }
  const button = make("button", { type: "button", class: "secondary" }, "Copy");
  button.setAttribute("aria-label", "Copy the bundle's digest");
  const status = make("span", { class: "hint", role: "status" });
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(digest);
      status.textContent = "Copied";
    } catch {
      status.textContent = digest;
    }
  });
  line.append(button, status);
  return line;
}
