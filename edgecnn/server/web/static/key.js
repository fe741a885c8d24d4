// The dialog that asks for the API key.

import { byId } from "./elements.js";

/** Ask until something is entered; says so where a key was refused before. */
export function enterKey(wasRefused) {
  const dialog = byId("key-dialog");
  const field = byId("key");
  byId("key-error").textContent = wasRefused ? "The server does not accept this key." : "";
  field.setAttribute("aria-invalid", String(wasRefused));
  field.value = "";
  if (!dialog.open) dialog.showModal();
  field.focus();
  return new Promise((resolve) => {
    const entered = (event) => {
      event.preventDefault();
      byId("key-form").removeEventListener("submit", entered);
      dialog.close();
      resolve(field.value.trim());
      field.value = "";
    };
    byId("key-form").addEventListener("submit", entered);
    dialog.oncancel = (event) => event.preventDefault(); // without a key there is nothing to go back to
  });
}
