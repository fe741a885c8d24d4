// Polls the server while the page is visible: the connection, the models and the metrics.

import { byId, make } from "./elements.js";
import { ConnectionError, StatusError, request, requestJson } from "./server.js";
import { Traffic } from "./traffic.js";
import { onLanguageChange, say } from "./words.js";

const INTERVAL_MS = 2000;

/**
 * Poll without end. Calls `onServer` with the server's extensions after each new connection, `onModelsChange` if the
 * models changed, and `onConnected` after each successful poll.
 */
export async function poll(models, { onServer, onModelsChange, onConnected }) {
  const traffic = new Traffic();
  const showTraffic = () =>
    byId("traffic").replaceChildren(traffic.renderTable(models.ready().map((entry) => entry.name)));
  let isConnected = false;
  onLanguageChange(showTraffic);
  for (;;) {
    await untilVisible();
    try {
      if (!isConnected) {
        const { name, version, extensions } = await requestJson("v2");
        byId("server").textContent = `${name} ${version} · Open Inference Protocol v2`;
        onServer(extensions);
        models.clear();
      }
      if (await models.refresh()) onModelsChange();
      traffic.add(await (await request("metrics")).text(), performance.now());
      showTraffic();
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

function showConnected(models) {
  const isReady = models.ready().length > 0;
  byId("disconnected").hidden = true;
  showState(isReady ? "ready" : "waiting", isReady ? "page.ready" : "page.no_model");
}

function showDisconnected(error) {
  if (!(error instanceof ConnectionError || error instanceof StatusError)) throw error; // a bug in the page
  showState("disconnected", "page.not_connected");
  const retries = make("span");
  say(retries, "page.retries");
  byId("disconnected").replaceChildren(error.show("span"), " ", retries);
  byId("disconnected").hidden = false;
}

function showState(state, key) {
  const connection = byId("connection");
  if (connection.dataset.t === key) return;
  connection.dataset.state = state;
  say(connection, key);
}
