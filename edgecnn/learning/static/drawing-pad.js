// A small pad to draw an image on, with the pointer or with the keyboard.

import { Grid, greyCells } from "./grids.js";
import { live } from "./controls.js";
import { tensor } from "./operations.js";
import { t } from "./words.js";

const SIDE = 16;
const START = "0600 0f00 1f80 3980 6180 4180 0180 0300 0600 0c00 1800 3000 6000 ffc0 ffc0 0000"; // a 2: 16 bits a row
const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/**
 * Set up a canvas element inside `holder`, and its button that clears it. `listener` runs at each change. Return
 * {tensor()}: [1, 16, 16], 0 or 1.
 */
export function drawingPad(holder, listener) {
  const canvas = holder.querySelector("canvas");
  const pixels = new Float64Array(SIDE * SIDE);
  START.split(" ").forEach((row, y) => {
    for (let x = 0; x < SIDE; x += 1) pixels[y * SIDE + x] = (parseInt(row, 16) >> (SIDE - 1 - x)) & 1;
  });
  let cursor = null;
  let ink = 1;
  const show = () => {
    const marks = cursor ? [{ y: cursor[0], x: cursor[1] }] : [];
    const [row, column] = cursor ?? [0, 0];
    const label = t("learn.pad.alt", { row: row + 1, column: column + 1, ink: pixels[row * SIDE + column] });
    grid.show({ ...greyCells(tensor([1, SIDE, SIDE], pixels)), marks }, label);
  };
  const paint = (y, x, value) => {
    if (pixels[y * SIDE + x] === value) return;
    pixels[y * SIDE + x] = value;
    show();
    listener();
  };
  const grid = new Grid(canvas, (y, x, event) => {
    if (event.type === "pointerdown") {
      ink = 1 - pixels[y * SIDE + x];
      cursor = [y, x];
    }
    if (event.buttons) paint(y, x, ink);
  });
  canvas.classList.add("drawable");
  canvas.addEventListener("keydown", (event) => {
    cursor ??= [0, 0];
    if (event.key === " " || event.key === "Enter") paint(...cursor, 1 - pixels[cursor[0] * SIDE + cursor[1]]);
    else if (event.key in MOVES) {
      cursor = cursor.map((place, axis) => Math.min(SIDE - 1, Math.max(0, place + MOVES[event.key][axis])));
    } else return;
    event.preventDefault();
    show();
  });
  holder.querySelector("button").addEventListener("click", () => {
    pixels.fill(0);
    show();
    listener();
  });
  live(show);
  return { tensor: () => tensor([1, SIDE, SIDE], pixels) };
}
