// Light and dark mode. The system setting applies until the user clicks the button.

import { load, save } from "./memory.js";
import { onLanguageChange, t } from "./words.js";

const STORAGE_KEY = "edgecnn-theme";

const system = matchMedia("(prefers-color-scheme: dark)");
const print = matchMedia("print");
const listeners = [];
let choice = load("localStorage", STORAGE_KEY);

/** Return whether the page is dark. Paper is light. */
export function isDark() {
  if (print.matches) return false;
  return choice === null ? system.matches : choice === "dark";
}

/** Call a function after each change of the theme, to draw canvases again. */
export function onThemeChange(listener) {
  listeners.push(listener);
}

/** Set up the button that switches the mode; it names the mode that it leads to. The browser stores the choice. */
export function setUpTheme(button) {
  function apply() {
    if (choice === null) delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = choice;
    button.textContent = t(isDark() ? "common.light" : "common.dark");
    for (const listener of listeners) listener();
  }

  button.addEventListener("click", () => {
    choice = isDark() ? "light" : "dark";
    save("localStorage", STORAGE_KEY, choice);
    apply();
  });
  system.addEventListener("change", apply);
  print.addEventListener("change", apply);
  onLanguageChange(apply);
  apply();
}
