// Shows the server's OpenAPI document: all requests, their parameters, bodies and responses, and the schemas.

import { byId, make } from "./elements.js";
import { promptForKey } from "./key.js";
import { requestJson, setKeyPrompt } from "./server.js";
import { onLanguageChange, t } from "./words.js";

const MOST_NUMBERS = 8; // Numbers of a list in an example. The pixels of an image would fill the page.

setKeyPrompt(promptForKey);
addEventListener("hashchange", openTarget);
start();

async function start() {
  try {
    const found = await requestJson("openapi.json");
    onLanguageChange(() => show(found));
    show(found);
    openTarget();
  } catch (error) {
    if (typeof error.show !== "function") throw error; // a bug in the page
    byId("about").replaceChildren();
    byId("failure").replaceChildren(error.show());
  }
}

/** Show the document, whose own texts are English. */
function show(found) {
  const opened = new Set([...document.querySelectorAll("details[open]")].map((part) => part.id));
  byId("about").replaceChildren(
    make("p", { class: "hint" }, t("api.version", { version: found.info.version, openapi: found.openapi })),
    text(found.info.description),
  );
  byId("operations").replaceChildren(...operations(found));
  byId("schemas").replaceChildren(...Object.entries(found.components.schemas).map(schema));
  for (const part of document.querySelectorAll("details")) part.open = opened.has(part.id);
}

/** Open and show the part that the address names after `#`. */
function openTarget() {
  const target = byId(decodeURIComponent(location.hash.slice(1)));
  if (!(target instanceof HTMLDetailsElement)) return;
  target.open = true;
  target.scrollIntoView();
  target.querySelector("summary").focus({ preventScroll: true });
}

function operations(found) {
  return Object.entries(found.paths).flatMap(([path, item]) =>
    Object.entries(item)
      .filter(([method]) => method !== "parameters")
      .map(([method, operation]) => describe(found, path, method, operation, item.parameters ?? [])),
  );
}

function describe(found, path, method, operation, shared) {
  const parameters = [...shared, ...(operation.parameters ?? [])].map((each) => resolve(found, each));
  const body = operation.requestBody;
  const responses = Object.entries(operation.responses).sort(([a], [b]) => a.localeCompare(b));
  return make(
    "details",
    { id: operation.operationId },
    make(
      "summary",
      {},
      make("span", { class: `method ${method}` }, method.toUpperCase()),
      make("code", {}, path),
      make("span", { class: "hint", lang: "en" }, operation.summary),
    ),
    make(
      "div",
      { class: "operation" },
      table(t("api.parameters"), parameters.map((each) => [each.name, each.in, type(each.schema), text(each.description)])),
      ...(body ? [make("div", {}, make("h3", {}, t("api.body")), ...content(body))] : []),
      table(t("api.responses"), responses.map(([status, each]) => response(status, resolve(found, each)))),
    ),
  );
}

function response(status, found) {
  const types = Object.entries(found.content ?? {}).map(([media, { schema: each }]) => make("p", {}, ...link(each, media)));
  return [status, text(found.description), make("div", {}, ...types)];
}

/** Return the description of a request body, its media types and its examples. */
function content(body) {
  const parts = body.description ? [text(body.description)] : [];
  for (const [media, { schema: each, examples }] of Object.entries(body.content ?? {})) {
    parts.push(make("p", {}, ...link(each, media)));
    for (const [name, example] of Object.entries(examples ?? {})) {
      const label = t("api.example", { name });
      parts.push(make("p", { class: "hint" }, label), code(JSON.stringify(shortened(example.value)), label));
    }
  }
  return parts;
}

/** Return a value with only the first numbers of long lists. */
function shortened(value) {
  if (Array.isArray(value)) {
    const isLong = value.length > MOST_NUMBERS && typeof value[0] === "number";
    return isLong ? [...value.slice(0, MOST_NUMBERS), t("api.numbers", { count: value.length })] : value.map(shortened);
  }
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, shortened(each)]));
}

function schema([name, found]) {
  return make(
    "details",
    { id: `schema-${name}` },
    make("summary", {}, make("code", {}, name)),
    code(JSON.stringify(found, null, 2), t("api.schema", { name })),
  );
}

/** Return a block of code that can be scrolled by keyboard. */
function code(content, label) {
  return make("pre", { tabindex: "0", role: "region", "aria-label": label }, content);
}

function table(title, rows) {
  if (rows.length === 0) return "";
  const cells = rows.map(([first, ...others]) =>
    make("tr", {}, make("th", { scope: "row" }, first), ...others.map((each) => make("td", {}, each ?? ""))),
  );
  const region = { class: "scroll", role: "region", "aria-label": title, tabindex: "0" };
  return make("div", {}, make("h3", {}, title), make("div", region, make("table", {}, make("tbody", {}, ...cells))));
}

/** Return a media type, with a link to its schema if the schema has a name. */
function link(found, media) {
  const name = found?.$ref?.split("/").pop();
  const target = name ? [": ", make("a", { href: `#schema-${encodeURIComponent(name)}` }, name)] : [];
  return [make("code", {}, media), ...target];
}

function resolve(found, part) {
  if (!part.$ref) return part;
  return part.$ref.slice(2).split("/").reduce((node, key) => node[key], found);
}

function type(found = {}) {
  return found.enum ? found.enum.join(" | ") : [found.type ?? ""].flat().join(" | ");
}

/** Return a description; text in backticks becomes code, and text in asterisks becomes bold. */
function text(description = "") {
  const parts = description.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part) => {
    if (part.startsWith("`")) return make("code", {}, part.slice(1, -1));
    return part.startsWith("**") ? make("strong", {}, part.slice(2, -2)) : part;
  });
  return make("p", { class: "text", lang: "en" }, ...parts);
}
