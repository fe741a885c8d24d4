// A table of numbers that becomes a list on a narrow screen: one block for each row, with a title above each number.

import { make } from "./elements.js";

/**
 * Return a table with a caption for screen readers.
 *
 * `head` are the titles of the columns. Each row is [its name, ...contents of the cells], which are texts or elements.
 */
export function stackingTable(caption, head, rows) {
  // With these roles, the table remains a table for screen readers if its style is that of a list.
  return make(
    "table",
    { class: "stacking", role: "table", "aria-label": caption },
    make(
      "thead",
      { role: "rowgroup" },
      make("tr", { role: "row" }, ...head.map((title) => make("th", { role: "columnheader", scope: "col" }, title))),
    ),
    make("tbody", { role: "rowgroup" }, ...rows.map((row) => rowOf(row, head))),
  );
}

function rowOf([name, ...cells], head) {
  return make(
    "tr",
    { role: "row" },
    make("th", { role: "rowheader", scope: "row" }, name),
    ...cells.map((content, index) => make("td", { role: "cell", "data-title": head[index + 1] }, content)),
  );
}
