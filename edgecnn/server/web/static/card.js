// A model's card: what it is, what runs it here, and what was proven of it.

import { chip } from "./answer.js";
import { bar, make } from "./elements.js";
import { count, error, percent, size } from "./wording.js";

const SHORT = 12; // characters of a digest

/** Return a model's card as elements. */
export function shownCard(card) {
  const [height, width, channels] = card.image;
  const { engine } = card;
  return [
    make("p", { class: "who" }, make("span", { class: "name" }, card.name), chip(card.precision)),
    make(
      "dl",
      { class: "facts" },
      ...fact("Architecture", card.architecture),
      ...fact("Input", `${height} × ${width}, ${channels === 1 ? "grey" : "colour"}`),
      ...fact("Classes", String(card.labels.length)),
      ...fact("Model size", size(card.size_bytes)),
      ...fact("Multiply-adds", card.macs === null ? "not counted" : count(card.macs)),
      ...fact("Engine", `${engine.name} ${short(engine.version)}`),
      ...fact("Runs on", runsOn(engine)),
      ...fact("Made", card.created.slice(0, 10)),
    ),
    make("div", { class: "proofs" }, selfTest(card.self_test), proof(card.proof)),
    digest(card.digest),
  ];
}

function fact(name, value) {
  return [make("div", {}, make("dt", {}, name), make("dd", {}, value))];
}

function runsOn({ device, threads, instances }) {
  const together = instances > 1 ? `, ${instances} runs at once` : "";
  return `${device}, ${threads} thread${threads === 1 ? "" : "s"}${together}`;
}

function short(version) {
  return version.split("-")[0];
}

function selfTest(selfTest) {
  const files = selfTest.encoded > 0 ? `, ${selfTest.encoded} of them decoded from files` : "";
  return make(
    "div",
    { class: `self-test ${selfTest.holds ? "holds" : "fails"}` },
    make("h3", {}, selfTest.holds ? "Proven on this machine" : "Not proven on this machine"),
    make("p", {}, `${selfTest.images} images with known answers were run here before the first request${files}.`),
    bar(selfTest.tolerance > 0 ? selfTest.max_error / selfTest.tolerance : 0, "gauge"),
    make("p", { class: "ends" }, "Largest error ", make("strong", {}, error(selfTest.max_error)), ` of ${error(selfTest.tolerance)} allowed`),
  );
}

function proof(proof) {
  const head = ["Engine", "Original", "This model", "Same answer"];
  const rows = proof.engines.map((each) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, `${each.name} ${short(each.version)}`),
      ...[each.reference_top1, each.top1, each.agreement].map((value) => make("td", {}, known(value))),
    ),
  );
  const { source, split, images } = proof.data;
  return make(
    "div",
    { class: "proof" },
    make("h3", { id: "proof-title" }, "Proven when it was built"),
    make("p", {}, `Top-1 accuracy on ${images} images: ${source}, ${split}.`),
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

function known(fraction) {
  return fraction === null ? "–" : percent(fraction, 2);
}

function digest(whole) {
  const shown = make("code", { title: whole }, `${whole.slice(0, SHORT)}…`);
  const line = make("p", { class: "digest" }, make("span", { class: "hint" }, "Digest"), shown);
  if (!navigator.clipboard) {
    shown.textContent = whole; // outside secure contexts there is no clipboard: it can be marked and copied by hand
    return line;
  }
  const button = make("button", { type: "button", class: "quiet" }, "Copy");
  button.setAttribute("aria-label", "Copy the bundle's digest");
  const said = make("span", { class: "hint", role: "status" });
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(whole);
      said.textContent = "Copied";
    } catch {
      said.textContent = whole;
    }
  });
  line.append(button, said);
  return line;
}
