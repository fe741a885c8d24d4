// A photograph: chosen, dropped anywhere on the page, or pasted. It is sent as it is; the server decodes it.

import { byId } from "./elements.js";

/** Take photographs; `onPhoto` gets each as a file. */
export function photographs(onPhoto) {
  const file = byId("file");
  const drop = byId("drop");

  function take(files) {
    if (files.length === 0) return;
    show(files[0]);
    onPhoto(files[0]);
  }

  byId("choose").addEventListener("click", () => file.click());
  file.addEventListener("change", () => {
    take([...file.files]);
    file.value = ""; // so that the same file can be chosen again
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) drop.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault(); // else the browser opens the file in place of the page
    drop.classList.remove("over");
    take([...event.dataTransfer.files]);
  });
  document.addEventListener("paste", (event) => take([...event.clipboardData.files]));
}

function show(photo) {
  const preview = byId("preview");
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(photo);
  preview.hidden = false;
  byId("invitation").hidden = true;
  preview.onerror = () => {
    preview.hidden = true;
    byId("invitation").hidden = false;
  };
}
