// Polls the server while the page is visible: the connection, the models and the metrics.

import { byId } from "./elements.js";
import { ConnectionError, StatusError, request, requestJson } from "./server.js";
import { Traffic } from "./traffic.js";

const INTERVAL_MS = 2000;

/** Poll without end. Calls `onModelsChange` if the models changed, and `onConnected` after each successful poll. */
export async function poll(models, { onModelsChange, onConnected }) {
  const traffic = new Traffic();
  let isConnected = false;
  for (;;) {
    await untilVisible();
    try {
      if (!isConnected) {
        showVersion(await requestJson("v2"));
        models.clear();
      }
      if (await models.refresh()) onModelsChange();
      const metrics = await (await request("metrics")).text();
      traffic.add(metrics, performance.now());
      byId("traffic").replaceChildren(traffic.renderTable(models.ready().map((entry) => entry.name)));
      showConnected(models);
      isConnected = true;
      onConnected();
    } catch (error) {
      isConnected = false;
      showDisconnected(error);
    }
    await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
  }
}

function untilVisible() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
}

function showVersion({ name, version }) {
  byId("server").textContent = `${name} ${version} · Open Inference Protocol v2`;
}

function showConnected(models) {
  const ready = models.ready().length;
  byId("disconnected").hidden = true;
  showState(ready > 0 ? "ready" : "waiting", ready > 0 ? "Ready" : "No model is ready");
}

function showDisconnected(error) {
  if (!(error instanceof ConnectionError || error instanceof StatusError)) throw error; // a bug in the page
  showState("disconnected", "Not connected");
  byId("disconnected").textContent = `${error.message} The page retries automatically.`;
  byId("disconnected").hidden = false;
}

function showState(state, text) {
  const connection = byId("connection");
  if (connection.textContent === text) return;
  connection.dataset.state = state;
  connection.textContent = text;
}
