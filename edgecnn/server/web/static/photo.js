// The photo tab: files, drops anywhere on the page, and the clipboard. The page sends the files unchanged.

import { byId } from "./elements.js";
import { say } from "./words.js";

/** Set up the photo panel, drop and paste. Calls `onPhotos` with each list of files. */
export function setUpPhotos(onPhotos) {
  const file = byId("file");
  const drop = byId("drop");

  function use(files) {
    if (files.length > 0) onPhotos(files);
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

/** Show one photo in the drop area, or the number of several photos. */
export function showPhotos(files) {
  const preview = byId("preview");
  const showHint = (isShown) => {
    preview.hidden = isShown;
    byId("drop-hint").hidden = !isShown;
  };
  URL.revokeObjectURL(preview.src);
  preview.removeAttribute("src");
  if (files.length > 1) {
    say(byId("drop-hint").querySelector("strong"), "page.photos", { count: files.length });
    return showHint(true);
  }
  preview.onerror = () => {
    say(byId("drop-hint").querySelector("strong"), "page.drop_here");
    showHint(true);
  };
  preview.src = URL.createObjectURL(files[0]);
  showHint(false);
}
