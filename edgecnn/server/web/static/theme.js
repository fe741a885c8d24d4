// Light and dark mode. The system setting applies until the user clicks the button.

import { load, save } from "./memory.js";

const STORAGE_KEY = "edgecnn-theme";

/** Set up the button that switches between light and dark mode. The browser stores the choice. */
export function setUpTheme(button) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  let choice = load("localStorage", STORAGE_KEY);
  const isDark = () => (choice === null ? system.matches : choice === "dark");

  function apply() {
    if (choice === null) delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = choice;
    button.setAttribute("aria-pressed", String(isDark()));
  }

  button.addEventListener("click", () => {
    choice = isDark() ? "light" : "dark";
    save("localStorage", STORAGE_KEY, choice);
    apply();
  });
  system.addEventListener("change", apply);
  apply();
}
