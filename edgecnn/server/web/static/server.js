// Requests to the server of this page. Every error has a message of one or two sentences for the user.
//
// The page keeps the API key for this tab only, and never shows it.

import { load, save } from "./memory.js";

const STORAGE_KEY = "edgecnn-api-key";

/** The server returned an error status. The message contains the reason. */
export class StatusError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** The connection to the server failed. */
export class ConnectionError extends Error {}

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
      if (!response.ok) throw new StatusError(await errorMessage(response), response.status);
      return response;
    }
    if (usedKey === apiKey) await updateKey();
  }
}

/** Send a request and return the parsed JSON response. */
export async function requestJson(path, options = {}) {
  return parseJson(await request(path, options));
}

/** Return a model's answer for an image file: {logits, timing}, with times in milliseconds. */
export async function infer(model, image) {
  const start = performance.now();
  const response = await upload(`v2/models/${encodeURIComponent(model)}/infer`, image);
  const { outputs } = await parseJson(response);
  const total = performance.now() - start;
  return { logits: outputs[0].data, timing: parseTiming(response.headers.get("Server-Timing") ?? "", total) };
}

async function upload(path, image) {
  const headers = { "Content-Type": image.type.startsWith("image/") ? image.type : "image/jpeg" };
  try {
    return await request(path, { method: "POST", headers, body: image });
  } catch (error) {
    if (!(error instanceof ConnectionError && (await isLive()))) throw error;
    const megabytes = (image.size / 1e6).toFixed(1);
    throw new StatusError(`The server aborted the upload. The file may be too large (${megabytes} MB).`, 413);
  }
}

async function parseJson(response) {
  try {
    return await response.json();
  } catch {
    throw new ConnectionError("The connection to the server failed.");
  }
}

async function send(path, options, key) {
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  try {
    return await fetch(path, { ...options, headers, cache: "no-store", credentials: "same-origin" });
  } catch {
    throw new ConnectionError("The server does not respond.");
  }
}

async function isLive() {
  try {
    return (await fetch("v2/health/live", { cache: "no-store" })).ok;
  } catch {
    return false;
  }
}

async function errorMessage(response) {
  try {
    const { error } = await response.json();
    if (typeof error === "string" && error) return toSentence(error);
  } catch {
    // The body is not JSON. A proxy may have sent this response.
  }
  return `The server returned status ${response.status}.`;
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
