// The models of the server: their states, their cards, and which models have the same reference.

import { StatusError, requestJson } from "./server.js";

/** The models of the server, as of the last refresh. */
export class Models {
  #entries = [];
  #cards = new Map();

  /** Fetch the models and the cards of new versions. Returns whether the models changed. */
  async refresh() {
    const entries = await requestJson("v2/repository/index", { method: "POST" });
    const hasChanged = JSON.stringify(entries) !== JSON.stringify(this.#entries);
    this.#entries = entries;
    for (const { name, version } of this.ready()) {
      if (this.#cards.get(name)?.version !== version) await this.#fetchCard(name);
    }
    return hasChanged;
  }

  /** Remove all models and cards. After a restart, the server may serve other bundles. */
  clear() {
    this.#cards.clear();
    this.#entries = [];
  }

  /** Return the models that are ready. */
  ready() {
    return this.#entries.filter((entry) => entry.state === "READY");
  }

  /** Return the models that are not ready, or for which the server reports a reason. */
  problems() {
    return this.#entries.filter((entry) => entry.state !== "READY" || entry.reason);
  }

  /** Return a model's card, or null. */
  card(name) {
    return this.#cards.get(name) ?? null;
  }

  /**
   * Return the card of a model, and of one ready model with the same reference if there is one.
   *
   * A model of another precision has priority. An FP32 model comes first.
   */
  withSibling(name) {
    const card = this.card(name);
    if (card === null) return [];
    const siblings = this.ready()
      .map((entry) => this.card(entry.name))
      .filter((other) => other !== null && other.name !== name && other.reference === card.reference);
    const sibling = siblings.find((other) => other.precision !== card.precision) ?? siblings[0];
    return sibling === undefined ? [card] : [card, sibling].sort(byPrecision);
  }

  async #fetchCard(name) {
    try {
      this.#cards.set(name, await requestJson(`v2/models/${encodeURIComponent(name)}/card`));
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      this.#cards.delete(name); // The server unloaded the model. The next refresh shows its new state.
    }
  }
}

function byPrecision(one, other) {
  return Number(one.precision !== "fp32") - Number(other.precision !== "fp32") || one.name.localeCompare(other.name);
}
