// Several photos: classifies them, two at a time, and shows a grid with a picture and the answer of each.

import { answerText, isUnsure, stageMark, topLabels, unsureMark } from "./answer.js";
import { make } from "./elements.js";
import { ConnectionError, infer } from "./server.js";
import { percent } from "./wording.js";
import { t, translate } from "./words.js";

const AT_ONCE = 2; // requests, so that other clients get answers too
const SIDE = 160; // of a picture, in pixels

/** The answers to several photos. */
export class Batch {
  #tiles;
  #card = null;
  #next = 0;
  #abort = new AbortController();
  #list = make("ol", { class: "batch", "data-t-aria-label": "batch.list" });
  #bar = make("progress", { "aria-labelledby": "batch-state" });
  #state = make("p", { id: "batch-state", class: "hint" });
  #onOpen;

  /** The element with the grid. */
  element = make("div", { class: "batch-answers" }, this.#state, this.#bar, this.#list);

  /** Show the answers to files. Calls `onOpen` with the file whose answer the user opens. */
  constructor(files, onOpen) {
    this.#onOpen = onOpen;
    this.#tiles = files.map((file) => ({ file, answer: null, error: null, element: null }));
    this.#bar.max = files.length;
  }

  /** The photos. */
  get files() {
    return this.#tiles.map((tile) => tile.file);
  }

  /**
   * Classify the photos with the model of a card: all of them, or after an earlier call with this model those without an
   * answer. Returns false if the batch was cancelled.
   *
   * Throws a `ConnectionError` if the server does not respond.
   */
  async run(card) {
    this.cancel();
    this.#next = 0;
    if (this.#card?.name !== card.name || this.#card.digest !== card.digest) {
      for (const tile of this.#tiles) Object.assign(tile, { answer: null, error: null });
    }
    this.#card = card;
    this.redraw();
    const signal = (this.#abort = new AbortController()).signal;
    try {
      await Promise.all(Array.from({ length: AT_ONCE }, () => this.#work(signal)));
    } catch (error) {
      if (signal.aborted) return false;
      this.cancel();
      throw error;
    }
    return !signal.aborted;
  }

  /** Stop. Photos that have no answer yet are not sent. */
  cancel() {
    this.#abort.abort();
  }

  /** Return one sentence about the whole batch. */
  describe() {
    const failed = this.#tiles.filter((tile) => tile.error !== null).length;
    const unsure = this.#tiles.filter((tile) => tile.answer?.isUnsure).length;
    return t("batch.done", { count: this.#tiles.length, answered: this.#done - failed, unsure, failed });
  }

  /** Draw everything again, in the page's language. */
  redraw() {
    for (const tile of this.#tiles) if (tile.element !== null) this.#showAnswer(tile);
    this.#showProgress();
    translate(this.element);
  }

  get #done() {
    return this.#tiles.filter((tile) => tile.answer !== null || tile.error !== null).length;
  }

  /** Classify the next photos until none remains. */
  async #work(signal) {
    while (this.#next < this.#tiles.length && !signal.aborted) {
      const tile = this.#tiles[this.#next++];
      if (tile.answer !== null || tile.error !== null) continue;
      if (tile.element === null) await this.#addTile(tile);
      try {
        tile.answer = this.#answerOf(await infer(this.#card.name, tile.file, { signal }));
      } catch (error) {
        if (signal.aborted || error instanceof ConnectionError) throw error;
        tile.error = error;
      }
      if (signal.aborted) return;
      this.#showAnswer(tile);
      this.#showProgress();
    }
  }

  #answerOf({ logits, stage }) {
    const top = topLabels(this.#card, logits);
    return { top, stage, hasSeveral: this.#card.scores.multi_label, isUnsure: isUnsure(this.#card, logits) };
  }

  async #addTile(tile) {
    const canvas = make("canvas", { width: SIDE, height: SIDE, "aria-hidden": "true" });
    const caption = make("span", { class: "caption" });
    const button = make("button", { type: "button" }, canvas, caption);
    button.addEventListener("click", () => this.#onOpen(tile.file));
    tile.element = make("li", {}, button);
    this.#showAnswer(tile);
    this.#list.append(tile.element);
    await drawPicture(canvas, tile.file);
  }

  #showAnswer({ file, answer, error, element }) {
    const name = make("span", { class: "file", title: file.name }, file.name);
    element.className = error !== null ? "failed" : answer?.isUnsure ? "doubtful" : "";
    element.querySelector("button").disabled = answer === null;
    element.querySelector(".caption").replaceChildren(...this.#texts(answer, error), name);
  }

  #texts(answer, error) {
    if (error !== null) return [error.show("span")];
    if (answer === null) return [make("span", { class: "label" }, "…")];
    const probability = answer.hasSeveral ? [] : [make("span", { class: "value" }, percent(answer.top[0].probability))];
    const label = make("span", { class: "label" }, answerText(answer.top));
    const marks = [...(answer.isUnsure ? [unsureMark()] : []), ...(answer.stage === null ? [] : [stageMark(answer.stage)])];
    return [label, ...probability, ...marks];
  }

  #showProgress() {
    const done = this.#done;
    this.#bar.value = done;
    const count = this.#tiles.length;
    this.#bar.hidden = done === count;
    this.#state.textContent = done === count ? this.describe() : t("batch.progress", { done, count });
  }
}

/** Draw a file into a canvas. The browser decodes it in another thread; the canvas stays empty if it cannot. */
async function drawPicture(canvas, file) {
  try {
    const picture = await createImageBitmap(file);
    const scale = Math.min(canvas.width / picture.width, canvas.height / picture.height);
    const [width, height] = [picture.width * scale, picture.height * scale];
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = scale < 1;
    context.drawImage(picture, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
    picture.close();
  } catch {
    canvas.classList.add("no-picture");
  }
}
