// A drawing as the images are that a model has learned from: size, place and thickness of the digit.
//
// A network that has seen only digits of one size knows no other. MNIST's fill 20 of 28 pixels and are centred by their
// mass (LeCun et al. 1998, section III.A). scikit-learn's fill their 8 pixels from top to bottom, and each has about the
// same ink, 0.31 of the square, a 1 as much as an 8 (measured over all 1797): the thickness follows from that. Slightly
// more ink than theirs was recognised best.

import { trace } from "./drawing.js";

const FINEST = 448; // pixels in each direction, about, before they are averaged to those of the image

const FRAMES = {
  digits: { side: 8, box: 8, ink: 0.33, isByMass: false },
  mnist: { side: 28, box: 20, stroke: 2.6, isByMass: true },
};

/** How drawings are framed for a model, by its card. */
export function frameOf(card) {
  const known = FRAMES[card.proof.data.source];
  if (known !== undefined) return known;
  const side = Math.min(card.image[0], card.image[1]);
  const { mnist } = FRAMES;
  return { side, box: (mnist.box * side) / mnist.side, stroke: (mnist.stroke * side) / mnist.side, isByMass: true };
}

/** Return a drawing as a PNG file for a model. */
export function framed(strokes, frame) {
  const pixels = rendered(strokes, frame);
  const canvas = new OffscreenCanvas(frame.side, frame.side);
  const image = new ImageData(frame.side, frame.side);
  pixels.forEach((value, index) => image.data.set([value, value, value, 255], 4 * index));
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

function rendered(strokes, frame) {
  if (frame.stroke !== undefined) return averaged(strokes, frame, frame.stroke);
  let [thin, thick] = [0.05 * frame.side, 0.5 * frame.side];
  for (let step = 0; step < 7; step++) {
    const stroke = (thin + thick) / 2;
    const pixels = averaged(strokes, frame, stroke);
    const ink = pixels.reduce((sum, value) => sum + value, 0) / (255 * pixels.length);
    [thin, thick] = ink < frame.ink ? [stroke, thick] : [thin, stroke];
  }
  return averaged(strokes, frame, (thin + thick) / 2);
}

/** Draw with one thickness, in pixels of the image; returns grey values, row by row. */
function averaged(strokes, frame, stroke) {
  const times = fineness(frame);
  const fine = frame.side * times;
  const canvas = new OffscreenCanvas(fine, fine);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const place = placing(strokes, frame, stroke);
  trace(context, strokes, place({ x: 0, y: 0 }), stroke * times);
  if (frame.isByMass) {
    const centre = centreOf(context.getImageData(0, 0, fine, fine));
    context.clearRect(0, 0, fine, fine);
    trace(context, strokes, place({ x: fine / 2 - centre.x, y: fine / 2 - centre.y }), stroke * times);
  }
  return shrunk(context.getImageData(0, 0, fine, fine), frame.side, times);
}

/** Return what puts the drawing's box into the middle, scaled to the frame, and then moves it, but not out of the image. */
function placing(strokes, frame, stroke) {
  const points = strokes.flat();
  const [xs, ys] = [points.map((point) => point.x), points.map((point) => point.y)];
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const times = fineness(frame);
  const fine = frame.side * times;
  const room = Math.max(1, (frame.box - stroke) * times);
  const scale = room / Math.max(right - left, bottom - top, 0.02);
  const free = (extent) => Math.max(0, (fine - scale * extent - stroke * times) / 2);
  const within = (value, limit) => Math.min(Math.max(value, -limit), limit);
  return (shift) => {
    const dx = fine / 2 + within(shift.x, free(right - left));
    const dy = fine / 2 + within(shift.y, free(bottom - top));
    const [cx, cy] = [(left + right) / 2, (top + bottom) / 2];
    return ({ x, y }) => ({ x: scale * (x - cx) + dx, y: scale * (y - cy) + dy });
  };
}

/** How many pixels are drawn for one of the image, in each direction. */
function fineness(frame) {
  return Math.max(2, Math.floor(FINEST / frame.side));
}

function centreOf({ data, width }) {
  let [mass, x, y] = [0, 0, 0];
  for (let index = 3; index < data.length; index += 4) {
    if (data[index] === 0) continue;
    const pixel = (index - 3) / 4;
    mass += data[index];
    x += data[index] * ((pixel % width) + 0.5);
    y += data[index] * (Math.floor(pixel / width) + 0.5);
  }
  return mass === 0 ? { x: width / 2, y: width / 2 } : { x: x / mass, y: y / mass };
}

function shrunk({ data, width }, side, times) {
  const sums = new Float64Array(side * side);
  for (let index = 3; index < data.length; index += 4) {
    const pixel = (index - 3) / 4;
    const row = Math.floor(pixel / width / times);
    sums[row * side + Math.floor((pixel % width) / times)] += data[index];
  }
  return Array.from(sums, (sum) => Math.round(sum / (times * times)));
}
