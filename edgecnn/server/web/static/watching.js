// Looking at the server all the while the page is seen: its models, its metrics, and whether it is there at all.

import { byId } from "./elements.js";
import { Gone, Refused, ask, askJson } from "./server.js";
import { Traffic } from "./traffic.js";

const EVERY_MS = 2000;

/** Look for ever; `onModels` is told of changes of the models, `onThere` each time that the server is there. */
export async function watch(models, { onModels, onThere }) {
  const traffic = new Traffic();
  let wasGone = true;
  for (;;) {
    await seen();
    try {
      if (wasGone) {
        showVersion(await askJson("v2"));
        models.forget();
      }
      if (await models.refresh()) onModels();
      const metrics = await (await ask("metrics")).text();
      traffic.add(metrics, performance.now());
      byId("traffic").replaceChildren(traffic.shown(models.ready().map((entry) => entry.name)));
      connected(models);
      wasGone = false;
      onThere();
    } catch (error) {
      wasGone = true;
      away(error);
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}

function seen() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
}

function showVersion({ name, version }) {
  byId("server").textContent = `${name} ${version} · Open Inference Protocol v2`;
}

function connected(models) {
  const ready = models.ready().length;
  byId("gone").hidden = true;
  state(ready > 0 ? "ready" : "waiting", ready > 0 ? "Ready" : "No model is ready");
}

function away(error) {
  if (!(error instanceof Gone || error instanceof Refused)) throw error; // a bug of the page
  state("gone", "Not connected");
  byId("gone").textContent = `${error.message} This page tries again by itself.`;
  byId("gone").hidden = false;
}

function state(name, text) {
  const shown = byId("connection");
  if (shown.textContent === text) return;
  shown.dataset.state = name;
  shown.textContent = text;
}
