// The drawing area. It shows white strokes on black, and stores them as lines to redraw them at any size.

const STROKE = 0.075; // stroke width, as a share of the side

/** A square canvas to draw on with a mouse, a finger or a pen. */
export class Pad {
  #canvas;
  #strokes = [];
  #current = null;
  #onChange;

  /** Record the strokes on a canvas. Calls `onChange` after each stroke and after `clear`. */
  constructor(canvas, onChange) {
    this.#canvas = canvas;
    this.#onChange = onChange;
    canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    canvas.addEventListener("pointermove", (event) => this.#extend(event));
    // The browser also sends `lostpointercapture` if the canvas becomes hidden during a stroke.
    for (const type of ["pointerup", "lostpointercapture"]) canvas.addEventListener(type, () => this.#end());
    new ResizeObserver(() => this.#paint()).observe(canvas);
    onPixelRatioChange(() => this.#paint());
  }

  /** The strokes. Each is a list of points {x, y}, from 0 to 1. */
  get strokes() {
    return this.#strokes;
  }

  /** Whether the user is drawing a stroke. */
  get isDrawing() {
    return this.#current !== null;
  }

  /** Remove all strokes. */
  clear() {
    this.#strokes = [];
    this.#current = null;
    this.#paint();
    this.#onChange();
  }

  #begin(event) {
    if (this.#current !== null || event.button !== 0) return;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#current = { id: event.pointerId, points: [this.#point(event)] };
    this.#strokes.push(this.#current.points);
    this.#paint();
  }

  #extend(event) {
    if (this.#current?.id !== event.pointerId) return;
    for (const each of event.getCoalescedEvents?.() ?? []) this.#current.points.push(this.#point(each));
    this.#current.points.push(this.#point(event));
    this.#paint();
  }

  #end() {
    if (this.#current === null) return;
    this.#current = null;
    this.#onChange();
  }

  #point(event) {
    const box = this.#canvas.getBoundingClientRect();
    return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
  }

  #paint() {
    const canvas = this.#canvas;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((size) => Math.round(size * devicePixelRatio));
    // A new canvas has 300 × 150 pixels: compare both. Assigning a size clears the canvas, even if it is the same size.
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    drawStrokes(context, this.#strokes, ({ x, y }) => ({ x: x * width, y: y * height }), STROKE * width);
  }
}

/** Call a function after each change of the pixel ratio: another zoom, or another screen. */
function onPixelRatioChange(notify) {
  const current = matchMedia(`(resolution: ${devicePixelRatio}dppx)`);
  const changed = () => {
    notify();
    onPixelRatioChange(notify);
  };
  current.addEventListener("change", changed, { once: true });
}

/** Draw strokes in white. `place` converts a point of a stroke to a point of the canvas. */
export function drawStrokes(context, strokes, place, width) {
  context.strokeStyle = "#fff";
  context.lineWidth = width;
  context.lineCap = context.lineJoin = "round";
  for (const stroke of strokes) {
    const points = stroke.map(place);
    context.beginPath();
    context.moveTo(points[0].x, points[0].y);
    for (let index = 1; index < points.length - 1; index++) {
      const next = points[index + 1];
      const point = points[index];
      context.quadraticCurveTo(point.x, point.y, (point.x + next.x) / 2, (point.y + next.y) / 2);
    }
    const last = points[points.length - 1];
    context.lineTo(last.x, last.y);
    context.stroke();
  }
}
