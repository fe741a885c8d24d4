// Light or dark: as the system has it, until somebody chooses.

import { keep, recall } from "./memory.js";

const KEY = "edgecnn-theme";

/** Make the button switch between light and dark; the choice is kept in this browser. */
export function theme(button) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = recall("localStorage", KEY);
  const isDark = () => (chosen === null ? system.matches : chosen === "dark");

  function apply() {
    if (chosen === null) delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
    button.setAttribute("aria-pressed", String(isDark()));
  }

  button.addEventListener("click", () => {
    chosen = isDark() ? "light" : "dark";
    keep("localStorage", KEY, chosen);
    apply();
  });
  system.addEventListener("change", apply);
  apply();
}
