// The drawing area: white strokes on black, kept as lines so that they can be drawn again at any size.

const STROKE = 0.075; // of the side: a felt pen

/** A square canvas to draw on with a mouse, a finger or a pen. */
export class Pad {
  #canvas;
  #strokes = [];
  #current = null;
  #onChange;

  /** Take the pointer's strokes; `onChange` is called after each, and after clearing. */
  constructor(canvas, onChange) {
    this.#canvas = canvas;
    this.#onChange = onChange;
    canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    canvas.addEventListener("pointermove", (event) => this.#go(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => this.#end());
    new ResizeObserver(() => this.#paint()).observe(canvas);
  }

  /** Lines of points {x, y}, 0 to 1. */
  get strokes() {
    return this.#strokes;
  }

  /** Whether a stroke is being drawn. */
  get isBusy() {
    return this.#current !== null;
  }

  /** Begin anew. */
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

  #go(event) {
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
    const side = Math.round(this.#canvas.clientWidth * devicePixelRatio);
    if (this.#canvas.width !== side) this.#canvas.width = this.#canvas.height = side;
    const context = this.#canvas.getContext("2d");
    context.clearRect(0, 0, side, side);
    trace(context, this.#strokes, (point) => ({ x: point.x * side, y: point.y * side }), STROKE * side);
  }
}

/** Draw lines in white, each point where `place` puts it. */
export function trace(context, strokes, place, width) {
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
