// Sets up the parts that every page has: language, theme and data.

import { byId } from "./elements.js";
import { setUpTheme } from "./theme.js";
import { setUpWords } from "./words.js";

setUpWords(byId("language"));
setUpTheme(byId("theme"));

/** Return the JSON content that the page was rendered with. */
export function pageData() {
  return JSON.parse(byId("data").textContent);
}
