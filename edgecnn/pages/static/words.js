// The page's language, and its texts in that language. The texts are in the element `words`, see pages/words.py.

import { load, save } from "./memory.js";

const STORAGE_KEY = "edgecnn-language";
const TAGS = { en: "en", zh: "zh-Hans" };
const NAMES = { en: "English", zh: "中文" };

const texts = JSON.parse(document.getElementById("words").textContent);
const listeners = [];
let language = initialLanguage();

function initialLanguage() {
  const choice = document.documentElement.dataset.language;
  // If the page was made in one language, the reader's choice counts in this tab only.
  const wanted =
    choice === "auto"
      ? [load("localStorage", STORAGE_KEY), ...navigator.languages]
      : [load("sessionStorage", STORAGE_KEY), choice];
  return wanted.map((tag) => tag?.slice(0, 2)).find((tag) => tag in TAGS) ?? "en";
}

/** Return a text in the page's language as plain text, with its values in place of `{name}`. */
export function t(key, values = {}) {
  return texts[language][key].replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/** Show a text in an element. The element follows the language. */
export function say(element, key, values = {}) {
  element.dataset.t = key;
  element.dataset.values = JSON.stringify(values);
  element.textContent = t(key, values);
}

/** Add the texts of another package, {en: {key: text}, zh: {key: text}}. */
export function addTexts(more) {
  for (const name of Object.keys(TAGS)) Object.assign(texts[name], more[name]);
}

/** Return the language: `en` or `zh`. */
export function currentLanguage() {
  return language;
}

/**
 * Fill the elements with `data-t="KEY"`, and attributes `data-t-NAME="KEY"`. Texts may contain markup of edgecnn;
 * values are escaped.
 */
export function translate(root = document) {
  for (const element of root.querySelectorAll("[data-t]")) {
    const values = JSON.parse(element.dataset.values ?? "{}");
    const safe = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, escaped(String(value))]));
    element.innerHTML = t(element.dataset.t, safe);
  }
  for (const name of ["aria-label", "title", "placeholder", "alt"]) {
    for (const element of root.querySelectorAll(`[data-t-${name}]`)) {
      element.setAttribute(name, t(element.getAttribute(`data-t-${name}`)));
    }
  }
}

function escaped(text) {
  const element = document.createElement("span");
  element.textContent = text;
  return element.innerHTML;
}

/** Call a function after each change of the language, to draw again what scripts have drawn. */
export function onLanguageChange(listener) {
  listeners.push(listener);
}

/** Apply the language, and set up the button that switches to the other one. The browser stores the choice. */
export function setUpWords(button) {
  const other = () => (language === "en" ? "zh" : "en");

  function apply() {
    document.documentElement.lang = TAGS[language];
    button.textContent = NAMES[other()];
    button.lang = TAGS[other()];
    translate();
    for (const listener of listeners) listener();
  }

  button.addEventListener("click", () => {
    language = other();
    for (const storage of ["localStorage", "sessionStorage"]) save(storage, STORAGE_KEY, language);
    apply();
  });
  apply();
}
