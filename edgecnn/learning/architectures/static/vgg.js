// The chapter on VGG: its blocks, and how stacked 3 × 3 windows see as far as a large one.

import { showBlocks } from "./blocks.js";
import { byId, make, makeSvg } from "./elements.js";
import { pageData } from "./page.js";
import { onLanguageChange, t } from "./words.js";

const CELL = 14;
const GAP = 46;

showBlocks(byId("blocks"), pageData().network);
onLanguageChange(showWindows);
showWindows();

function showWindows() {
  const rows = [[[5, 3, 1], 3], [[5, 1], 5], [[7, 5, 3, 1], 3], [[7, 1], 7]];
  byId("windows").replaceChildren(...rows.map(([sizes, window]) => row(sizes, window)));
}

/** Draw maps of the given sizes, each with the window that makes the first value of the next one. */
function row(sizes, window) {
  const largest = Math.max(...sizes) * CELL;
  const starts = sizes.map((_, index) => sizes.slice(0, index).reduce((sum, size) => sum + size * CELL + GAP, 0));
  const width = starts.at(-1) + CELL + 1;
  const label = t(`learn.nets.vgg.${sizes.length > 2 ? "row.stack" : "row.single"}`, { count: sizes.length - 1, window, field: sizes[0] });
  const svg = makeSvg("svg", { viewBox: `0 0 ${width} ${largest + 2}`, width, role: "img", "aria-label": label });
  sizes.forEach((size, index) => {
    const [x, y] = [starts[index] + 0.5, (largest - size * CELL) / 2 + 0.5];
    for (let cell = 0; cell < size * size; cell += 1) {
      const [column, line] = [cell % size, Math.floor(cell / size)];
      const isRead = index < sizes.length - 1 && column < window && line < window;
      const place = { x: x + column * CELL, y: y + line * CELL, width: CELL, height: CELL };
      svg.append(makeSvg("rect", { class: isRead ? "read" : index === sizes.length - 1 ? "result" : "cell", ...place }));
    }
    if (index < sizes.length - 1) {
      const next = starts[index + 1];
      const nextY = (largest - sizes[index + 1] * CELL) / 2 + CELL / 2;
      const line = { x1: x + window * CELL, y1: y + (window * CELL) / 2, x2: next, y2: nextY };
      svg.append(makeSvg("line", { class: "wire", ...line }));
    }
  });
  return make("div", {}, svg, make("span", {}, label));
}
