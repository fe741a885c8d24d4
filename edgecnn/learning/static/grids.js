// Draws maps of numbers as cells of a canvas, with marks, and reports the cell under the pointer. The chapters show the
// maps again when the theme changes.

const NUMBER_SIDE = 26; // px: smaller cells have no number

/** A canvas with a grid of cells. */
export class Grid {
  /** `onCell(y, x)` is called when the pointer is over another cell, or touches it. */
  constructor(canvas, onCell = null) {
    this.canvas = canvas;
    this.content = null;
    new ResizeObserver(() => this.draw()).observe(canvas);
    if (!onCell) return;
    canvas.classList.add("pointable");
    for (const name of ["pointerdown", "pointermove"]) {
      canvas.addEventListener(name, (event) => {
        const [y, x] = this.cellAt(event);
        const { height, width } = this.content;
        if (y >= 0 && y < height && x >= 0 && x < width) onCell(y, x, event);
      });
    }
  }

  /**
   * Show other content and its text alternative:
   *   height, width: cells; padding: a border of zeros around them (0);
   *   color(y, x): [red, green, blue]; number(y, x): text in a large cell (none);
   *   marks: [{y, x, height, width, kind}] in cells: kind is "window", "cell" or "other".
   */
  show(content, label) {
    this.content = { padding: 0, marks: [], number: null, ...content };
    const { height, width, padding } = this.content;
    this.canvas.style.aspectRatio = `${width + 2 * padding} / ${height + 2 * padding}`;
    this.canvas.setAttribute("aria-label", label);
    this.draw();
  }

  cellAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const { height, width, padding } = this.content;
    const cell = (offset, length, count) => Math.floor((offset / length) * (count + 2 * padding)) - padding;
    return [cell(event.clientY - box.top, box.height, height), cell(event.clientX - box.left, box.width, width)];
  }

  draw() {
    const { canvas, content } = this;
    if (!content || !canvas.clientWidth || !content.height || !content.width) return;
    const { height, width, padding } = content;
    const ratio = devicePixelRatio;
    canvas.width = Math.round(canvas.clientWidth * ratio);
    canvas.height = Math.round((canvas.width * (height + 2 * padding)) / (width + 2 * padding));
    const context = canvas.getContext("2d");
    const side = canvas.width / (width + 2 * padding);
    const edge = (cell) => Math.round((cell + padding) * side);
    const font = getComputedStyle(document.documentElement).getPropertyValue("--font");
    const [outside, muted] = padding ? ["--raised", "--muted"].map(canvasColor) : [];
    for (let y = -padding; y < height + padding; y += 1) {
      for (let x = -padding; x < width + padding; x += 1) {
        const isInside = y >= 0 && y < height && x >= 0 && x < width;
        const color = isInside ? content.color(y, x) : null;
        context.fillStyle = color ? `rgb(${color.map(Math.round).join(" ")})` : outside;
        context.fillRect(edge(x), edge(y), edge(x + 1) - edge(x), edge(y + 1) - edge(y));
        const text = isInside ? content.number?.(y, x) : side / ratio > 14 ? "0" : null;
        if (text && (side / ratio >= NUMBER_SIDE || !isInside)) {
          context.fillStyle = color ? (brightness(color) > 140 ? "#000" : "#fff") : muted;
          context.font = `${Math.min(15, (side / ratio) * 0.38) * ratio}px ${font}`;
          context.textAlign = "center";
          context.textBaseline = "middle";
          context.fillText(text, (edge(x) + edge(x + 1)) / 2, (edge(y) + edge(y + 1)) / 2);
        }
      }
    }
    if (side / ratio > 7) drawLines(context, content, edge, ratio);
    for (const mark of content.marks) drawMark(context, mark, edge, ratio);
  }
}

function drawLines(context, { height, width, padding }, edge, ratio) {
  context.strokeStyle = "rgb(128 128 128 / 0.28)";
  context.lineWidth = ratio;
  context.beginPath();
  for (let x = -padding; x <= width + padding; x += 1) {
    context.moveTo(edge(x), edge(-padding));
    context.lineTo(edge(x), edge(height + padding));
  }
  for (let y = -padding; y <= height + padding; y += 1) {
    context.moveTo(edge(-padding), edge(y));
    context.lineTo(edge(width + padding), edge(y));
  }
  context.stroke();
}

/** Draw a mark in two colours, so that it is visible on every cell. */
function drawMark(context, { y, x, height = 1, width = 1, kind = "window" }, edge, ratio) {
  const box = [edge(x), edge(y), edge(x + width) - edge(x), edge(y + height) - edge(y)];
  const thick = (kind === "other" ? 1.5 : 2.5) * ratio;
  const inner = kind === "cell" ? "#16a34a" : kind === "other" ? "#eab308" : "#e11d74";
  for (const [color, lineWidth] of [["#fff", thick + 2 * ratio], [inner, thick]]) {
    context.strokeStyle = color;
    context.lineWidth = lineWidth;
    context.strokeRect(...box);
  }
}

function brightness([red, green, blue]) {
  return 0.299 * red + 0.587 * green + 0.114 * blue;
}

/** Return a colour variable of the style sheet as a canvas understands it. */
export function canvasColor(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
}

/** Return the cells of a channel of a tensor [C, H, W] in grey, from 0 (black) to 1 (white). */
export function greyCells(input, channel = 0) {
  return cells(input, channel, (value) => Array(3).fill(255 * Math.min(1, Math.max(0, value))));
}

/** Return the cells of a picture [3, H, W] or [1, H, W]. */
export function pictureCells(input) {
  const [channels, height, width] = input.shape;
  if (channels === 1) return greyCells(input);
  const color = (y, x) => [0, 1, 2].map((c) => 255 * input.data[(c * height + y) * width + x]);
  return { height, width, color };
}

/** Return the cells of a channel in colours: negative blue, zero like the page, positive orange, up to ±limit. */
export function signedCells(input, limit, channel = 0) {
  const [negative, zero, positive] = ["--negative", "--zero", "--positive"].map((name) =>
    canvasColor(name).match(/\d+/g).slice(0, 3).map(Number),
  );
  return cells(input, channel, (value) => {
    const share = Math.min(1, Math.abs(value) / limit);
    const end = value < 0 ? negative : positive;
    return zero.map((from, index) => from + share * (end[index] - from));
  });
}

/** Return the largest absolute number, at least a small one. */
export function limitOf(values) {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);
}

function cells(input, channel, color) {
  const [, height, width] = input.shape;
  const at = (y, x) => input.data[(channel * height + y) * width + x];
  return { height, width, at, color: (y, x) => color(at(y, x)) };
}
