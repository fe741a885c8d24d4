// Photos from a file, a drop anywhere on the page, or the clipboard. The page sends the file unchanged.

import { byId } from "./elements.js";

/** Set up the photo panel, drop and paste. Calls `onPhoto` with each file. */
export function setUpPhotos(onPhoto) {
  const file = byId("file");
  const drop = byId("drop");

  function use(files) {
    if (files.length === 0) return;
    showPreview(files[0]);
    onPhoto(files[0]);
  }

  byId("choose").addEventListener("click", () => file.click());
  file.addEventListener("change", () => {
    use([...file.files]);
    file.value = ""; // Without this, choosing the same file again fires no event.
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("dragover");
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) drop.classList.remove("dragover");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault(); // Without this, the browser leaves the page and opens the file.
    drop.classList.remove("dragover");
    use([...event.dataTransfer.files]);
  });
  document.addEventListener("paste", (event) => use([...event.clipboardData.files]));
}

function showPreview(photo) {
  const preview = byId("preview");
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(photo);
  preview.hidden = false;
  byId("drop-hint").hidden = true;
  preview.onerror = () => {
    preview.hidden = true;
    byId("drop-hint").hidden = false;
  };
}
