// The dialog that requests the API key.

import { byId } from "./elements.js";
import { say } from "./words.js";

/** Open the dialog and return a promise of the key. Shows an error if the server rejected the previous key. */
export function promptForKey(wasRejected) {
  const dialog = byId("key-dialog");
  const field = byId("key");
  const message = byId("key-error");
  if (wasRejected) say(message, "key.wrong");
  else {
    delete message.dataset.t;
    message.replaceChildren();
  }
  field.setAttribute("aria-invalid", String(wasRejected));
  field.value = "";
  if (!dialog.open) dialog.showModal();
  field.focus();
  return new Promise((resolve) => {
    const onSubmit = (event) => {
      event.preventDefault();
      byId("key-form").removeEventListener("submit", onSubmit);
      dialog.close();
      resolve(field.value.trim());
      field.value = "";
    };
    byId("key-form").addEventListener("submit", onSubmit);
    dialog.oncancel = (event) => event.preventDefault(); // The page does not work without a key.
  });
}
