// The models of the server: which are ready, what their cards say, and which were made of one reference.

import { Refused, askJson } from "./server.js";

/** All models of the server, as it has last said. */
export class Models {
  #entries = [];
  #cards = new Map();

  /** Ask again; returns whether anything has changed. */
  async refresh() {
    const entries = await askJson("v2/repository/index", { method: "POST" });
    const hasChanged = JSON.stringify(entries) !== JSON.stringify(this.#entries);
    this.#entries = entries;
    for (const { name, version } of this.ready()) {
      if (this.#cards.get(name)?.version !== version) await this.#read(name);
    }
    return hasChanged;
  }

  /** Forget the cards: the server was away, and may have come back with other bundles. */
  forget() {
    this.#cards.clear();
    this.#entries = [];
  }

  /** Those that answer. */
  ready() {
    return this.#entries.filter((entry) => entry.state === "READY");
  }

  /** Those that have something to say: they do not answer, or not with their newest version. */
  troubled() {
    return this.#entries.filter((entry) => entry.state !== "READY" || entry.reason);
  }

  /** A model's card, or null. */
  card(name) {
    return this.#cards.get(name) ?? null;
  }

  /** The model itself and, where one is served, another of the same reference, of another precision if there is one. */
  together(name) {
    const card = this.card(name);
    if (card === null) return [];
    const siblings = this.ready()
      .map((entry) => this.card(entry.name))
      .filter((other) => other !== null && other.name !== name && other.reference === card.reference);
    const sibling = siblings.find((other) => other.precision !== card.precision) ?? siblings[0];
    return sibling === undefined ? [card] : [card, sibling].sort(byPrecision);
  }

  async #read(name) {
    try {
      this.#cards.set(name, await askJson(`v2/models/${encodeURIComponent(name)}/card`));
    } catch (error) {
      if (!(error instanceof Refused)) throw error; // it was unloaded meanwhile: the next look says so
      this.#cards.delete(name);
    }
  }
}

function byPrecision(one, other) {
  return Number(one.precision !== "fp32") - Number(other.precision !== "fp32") || one.name.localeCompare(other.name);
}
