// The tab "Inside": what each layer does with the image. Its script, style and texts are loaded when it is opened.

import { byId, make } from "./elements.js";
import { ConnectionError, explain, requestJson } from "./server.js";
import { addTexts, say, translate } from "./words.js";

const PAUSE_MS = 1000; // between two tries, as in the server's `Retry-After`
const MOST_TRIES = 20;

async function load() {
  addTexts(await requestJson("web/inside.json"));
  const styles = ["web/uPlot.min.css", "web/inside.css"].map((href) => make("link", { rel: "stylesheet", href }));
  const charts = make("script", { src: "web/uPlot.iife.min.js" }); // not a module
  await Promise.all([...styles, charts].map(loaded));
  return (await import("./inside.js")).renderInside;
}

/** Add a style or a script to the page, and wait until it is loaded. */
function loaded(element) {
  return new Promise((resolve, reject) => {
    element.addEventListener("load", resolve);
    element.addEventListener("error", () => reject(new ConnectionError({ key: "error.connection" })));
    document.head.append(element);
  });
}

/** Send a request again while the server explains something else (503). */
async function untilFree(send, signal) {
  for (let tries = 1; ; tries++) {
    try {
      return await send();
    } catch (error) {
      if (error.status !== 503 || tries === MOST_TRIES || signal.aborted) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}

/** The tab of a server that explains. */
export class Insight {
  #element = byId("inside");
  #content = make("div");
  #subject = null; // {model, other, image: () => Promise<Blob>}, or null; `other` is a model to compare with
  #isOpen = false;
  #abort = new AbortController();
  #loaded = null;

  /** Show or hide the tab. */
  setOpen(isOpen) {
    this.#isOpen = isOpen;
    if (isOpen) this.#show();
    else this.#abort.abort();
  }

  /** Set the model and the image to explain, or null. */
  setSubject(subject) {
    this.#subject = subject;
    if (this.#isOpen) this.#show();
  }

  async #show() {
    this.#abort.abort();
    const { signal } = (this.#abort = new AbortController());
    if (this.#subject === null) return this.#say("page.inside_empty");
    if (!this.#content.isConnected) this.#say("page.inside_waiting");
    this.#content.setAttribute("aria-busy", "true");
    const { model, other, image: render } = this.#subject;
    try {
      const [renderInside, image] = await Promise.all([this.#load(), render()]);
      const compare = other === null ? {} : { compare: other };
      const ask = (query) => untilFree(() => explain(model, image, { query: { ...compare, ...query }, signal }), signal);
      const explanation = await ask({});
      this.#element.replaceChildren(this.#content);
      this.#content.setAttribute("aria-busy", "false");
      renderInside(this.#content, explanation, {
        loadMaps: async (layer, first, count) => (await ask({ layer, first, count })).maps,
        attend: (number) => ask({ class: number }),
      });
    } catch (error) {
      if (!signal.aborted) this.#fail(error);
    }
  }

  /** Load the texts, the style and the script once. Returns the function that draws an explanation. */
  #load() {
    this.#loaded ??= load().catch((error) => {
      this.#loaded = null; // The next call tries again.
      throw error;
    });
    return this.#loaded;
  }

  #say(key) {
    const text = make("p", { class: "empty", role: "status" });
    say(text, key);
    this.#element.replaceChildren(text);
  }

  #fail(error) {
    if (typeof error.show !== "function") throw error; // a bug in the page
    const button = make("button", { type: "button", "data-t": "page.try_again" });
    button.addEventListener("click", () => this.#show());
    this.#element.replaceChildren(make("div", { class: "failure", role: "alert" }, error.show(), button));
    translate(this.#element);
  }
}
