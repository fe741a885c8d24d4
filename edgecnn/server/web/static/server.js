// Requests to the server of this page. Every error shows the user a reason of one or two sentences.
//
// The page keeps the API key for this tab only, and never shows it.

import { make } from "./elements.js";
import { load, save } from "./memory.js";
import { say, t } from "./words.js";

const STORAGE_KEY = "edgecnn-api-key";

/** A request failed: a text of the page {key, values}, or the server's own text {text}, which is English. */
class RequestError extends Error {
  #reason;

  constructor(reason) {
    super(reason.text ?? t(reason.key, reason.values));
    this.#reason = reason;
  }

  /** Return a new element with the reason. */
  show(tag = "p") {
    const { key, values, text } = this.#reason;
    if (text !== undefined) return make(tag, { lang: "en" }, text);
    const element = make(tag);
    say(element, key, values);
    return element;
  }
}

/** The server returned an error status, or the browser cannot send the file. */
export class StatusError extends RequestError {
  constructor(reason, status) {
    super(reason);
    this.status = status;
  }
}

/** The connection to the server failed. */
export class ConnectionError extends RequestError {}

let apiKey = load("sessionStorage", STORAGE_KEY) ?? "";
let pendingPrompt = null;
let keyPrompt = null;

/** Set the function that requests an API key from the user: (wasRejected: boolean) => Promise<string>. */
export function setKeyPrompt(prompt) {
  keyPrompt = prompt;
}

/** Send a request and return the successful response. Prompts for the API key if the server requires one. */
export async function request(path, options = {}) {
  for (;;) {
    const usedKey = apiKey;
    const response = await send(path, options, usedKey);
    if (response.status !== 401) {
      if (!response.ok) throw new StatusError(await reasonOf(response), response.status);
      return response;
    }
    if (usedKey === apiKey) await updateKey();
  }
}

/** Send a request and return the parsed JSON response. */
export async function requestJson(path, options = {}) {
  return parseJson(await request(path, options));
}

/**
 * Return a model's answer for an image file: {logits, stage, timing}, with times in milliseconds. `stage` is the graph of
 * a cascade that answered, "fast" or "accurate", or null. `signal` aborts.
 */
export async function infer(model, image, { signal } = {}) {
  const start = performance.now();
  const response = await upload(`v2/models/${encodeURIComponent(model)}/infer`, image, signal);
  const { outputs } = await parseJson(response);
  const total = performance.now() - start;
  const timing = parseTiming(response.headers.get("Server-Timing") ?? "", total);
  return { logits: outputs[0].data, stage: response.headers.get("X-Stage"), timing };
}

/** Return what the layers of a model do with an image file, or a part of it. `query` are parameters. */
export async function explain(model, image, { query = {}, signal } = {}) {
  const parameters = new URLSearchParams(query).toString();
  const path = `v2/models/${encodeURIComponent(model)}/explain${parameters && `?${parameters}`}`;
  return parseJson(await upload(path, image, signal));
}

async function upload(path, image, signal) {
  const headers = { "Content-Type": image.type.startsWith("image/") ? image.type : "image/jpeg" };
  try {
    return await request(path, { method: "POST", headers, body: image, signal });
  } catch (error) {
    if (!(error instanceof ConnectionError && (await isLive()))) throw error;
    if (!(await isReadable(image))) throw new StatusError({ key: "error.unreadable" }, 400);
    const megabytes = (image.size / 1e6).toFixed(1);
    throw new StatusError({ key: "error.upload", values: { megabytes } }, 413);
  }
}

/** Return whether a file still exists and is not a folder. */
async function isReadable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

async function parseJson(response) {
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ConnectionError({ key: "error.connection" });
  }
}

async function send(path, options, key) {
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  try {
    return await fetch(path, { ...options, headers, cache: "no-store", credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ConnectionError({ key: "error.no_response" });
  }
}

async function isLive() {
  try {
    return (await fetch("v2/health/live", { cache: "no-store" })).ok;
  } catch {
    return false;
  }
}

async function reasonOf(response) {
  try {
    const { error } = await response.json();
    if (typeof error === "string" && error) return { text: toSentence(error) };
  } catch {
    // The body is not JSON. A proxy may have sent this response.
  }
  return { key: "error.status", values: { status: response.status } };
}

function toSentence(text) {
  const capitalized = text[0].toUpperCase() + text.slice(1);
  return /[.!?]$/.test(capitalized) ? capitalized : `${capitalized}.`;
}

function updateKey() {
  pendingPrompt ??= keyPrompt(apiKey !== "")
    .then((entered) => {
      apiKey = entered;
      save("sessionStorage", STORAGE_KEY, entered);
    })
    .finally(() => {
      pendingPrompt = null;
    });
  return pendingPrompt;
}

function parseTiming(header, total) {
  const stages = { decode: 0, queue: 0, inference: 0 };
  for (const [, name, duration] of header.matchAll(/(\w+);dur=([\d.]+)/g)) {
    if (name in stages) stages[name] = Number(duration);
  }
  const network = Math.max(0, total - stages.decode - stages.queue - stages.inference);
  return { ...stages, network, total };
}
