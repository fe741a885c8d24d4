// A row of values, wrapped to the width of the page: one cell a value.

import { gridView } from "./inside-grid.js";

const COLUMNS = 40;
const [WIDE, NARROW] = [24, 14];

/**
 * Return the view of a row of values: {element, mark, choose}. `onValue(index)` is called for the value that the reader
 * chooses; `range` is the largest absolute value of the colours.
 */
export function rowView(values, { label, range, onValue }) {
  const columns = Math.min(columnsFor(values.length), values.length);
  const height = Math.ceil(values.length / columns);
  const padded = Float32Array.from({ length: height * columns }, (_, index) => values[index] ?? 0);
  const view = gridView({
    kind: "row",
    onCell(y, x) {
      const index = Math.min(y * columns + x, values.length - 1);
      mark(index);
      onValue(index);
    },
  });
  view.element.style.setProperty("--columns", columns);
  view.element.style.setProperty("--cell", `${height === 1 ? WIDE : NARROW}px`);
  view.show({ height, width: columns, values: padded, low: -range, high: range }, { range, label });
  const mark = (index) => view.mark([{ top: Math.floor(index / columns), left: index % columns, height: 1, width: 1 }]);
  const choose = (index) => view.choose(Math.floor(index / columns), index % columns);
  return { element: view.element, mark, choose };
}

function columnsFor(length) {
  return length <= 1000 ? COLUMNS : 2 * COLUMNS;
}
