// Requests to the server that this page came from. What goes wrong becomes one sentence.
//
// The API key is kept for this tab only, and never shown.

import { keep, recall } from "./memory.js";

const KEY = "edgecnn-api-key";

/** The server has answered that it cannot, and why. */
export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** The server has not answered. */
export class Gone extends Error {}

let key = recall("sessionStorage", KEY) ?? "";
let asking = null;
let askForKey = null;

/** Say how a person is asked for the key: takes whether one was refused, returns a promise of the next. */
export function onKeyNeeded(ask) {
  askForKey = ask;
}

/** Ask, and return the response where it is good; asks for the key where one is needed. */
export async function ask(path, options = {}) {
  for (;;) {
    const used = key;
    const response = await send(path, options, used);
    if (response.status !== 401) {
      if (!response.ok) throw new Refused(await reasonOf(response), response.status);
      return response;
    }
    if (used === key) await newKey();
  }
}

/** Ask for JSON. */
export async function askJson(path, options = {}) {
  return read(await ask(path, options));
}

/** Return a model's answer to an image file: its logits, and where the time went, in milliseconds. */
export async function infer(model, image) {
  const began = performance.now();
  const response = await upload(`v2/models/${encodeURIComponent(model)}/infer`, image);
  const { outputs } = await read(response);
  const total = performance.now() - began;
  return { logits: outputs[0].data, timing: timingOf(response.headers.get("Server-Timing") ?? "", total) };
}

async function upload(path, image) {
  const headers = { "Content-Type": image.type.startsWith("image/") ? image.type : "image/jpeg" };
  try {
    return await ask(path, { method: "POST", headers, body: image });
  } catch (error) {
    if (!(error instanceof Gone && (await isThere()))) throw error;
    const megabytes = (image.size / 1e6).toFixed(1);
    throw new Refused(`The server broke off the upload: the file may be too large (${megabytes} MB).`, 413);
  }
}

async function read(response) {
  try {
    return await response.json();
  } catch {
    throw new Gone("The connection to the server broke off.");
  }
}

async function send(path, options, used) {
  const headers = { ...options.headers, ...(used ? { Authorization: `Bearer ${used}` } : {}) };
  try {
    return await fetch(path, { ...options, headers, cache: "no-store", credentials: "same-origin" });
  } catch {
    throw new Gone("The server does not answer.");
  }
}

async function isThere() {
  try {
    return (await fetch("v2/health/live", { cache: "no-store" })).ok;
  } catch {
    return false;
  }
}

async function reasonOf(response) {
  try {
    const { error } = await response.json();
    if (typeof error === "string" && error) return sentence(error);
  } catch {
    // It is no JSON: something between here and the server has answered.
  }
  return `The server answered with status ${response.status}.`;
}

function sentence(text) {
  const first = text[0].toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}

function newKey() {
  asking ??= askForKey(key !== "")
    .then((entered) => {
      key = entered;
      keep("sessionStorage", KEY, entered);
    })
    .finally(() => {
      asking = null;
    });
  return asking;
}

function timingOf(header, total) {
  const parts = { decode: 0, queue: 0, inference: 0 };
  for (const [, name, duration] of header.matchAll(/(\w+);dur=([\d.]+)/g)) {
    if (name in parts) parts[name] = Number(duration);
  }
  const network = Math.max(0, total - parts.decode - parts.queue - parts.inference);
  return { ...parts, network, total };
}
