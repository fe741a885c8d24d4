// Converts a drawing to the format of a model's training images: size, position and thickness of the digit.
//
// A network recognises only digits of the size in its training images. MNIST digits fill 20 of 28 pixels, and their
// centre of mass is the centre of the image (LeCun et al. 1998, section III.A). scikit-learn digits fill their 8 pixels
// from top to bottom. Their ink, the mean grey value as a share of white, is about 0.31 for every digit from 0 to 9
// (measured on all 1797 images). The stroke width of a drawing follows from its ink. Slightly more ink gave the best
// accuracy.

import { drawStrokes } from "./drawing.js";

const CANVAS_SIDE = 448; // approximate side of the canvas, in pixels, before it is reduced to the image size

const FRAMES = {
  digits: { side: 8, box: 8, ink: 0.33, isByMass: false },
  mnist: { side: 28, box: 20, stroke: 2.6, isByMass: true },
};

/** Return the format of drawings for a card's model. */
export function frameFor(card) {
  const frame = FRAMES[card.proof.data.source];
  if (frame !== undefined) return frame;
  const side = Math.min(card.image[0], card.image[1]);
  const { mnist } = FRAMES;
  return { side, box: (mnist.box * side) / mnist.side, stroke: (mnist.stroke * side) / mnist.side, isByMass: true };
}

/** Return a drawing as a PNG file in a frame's format. */
export function renderDrawing(strokes, frame) {
  const pixels = renderPixels(strokes, frame);
  const canvas = new OffscreenCanvas(frame.side, frame.side);
  const image = new ImageData(frame.side, frame.side);
  pixels.forEach((value, index) => image.data.set([value, value, value, 255], 4 * index));
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

/** Return grey values, row by row. Without a fixed stroke width, search for the one that gives the frame's ink. */
function renderPixels(strokes, frame) {
  if (frame.stroke !== undefined) return renderWithWidth(strokes, frame, frame.stroke);
  let [thin, thick] = [0.05 * frame.side, 0.5 * frame.side];
  for (let step = 0; step < 7; step++) {
    const width = (thin + thick) / 2;
    const pixels = renderWithWidth(strokes, frame, width);
    const ink = pixels.reduce((sum, value) => sum + value, 0) / (255 * pixels.length);
    [thin, thick] = ink < frame.ink ? [width, thick] : [thin, width];
  }
  return renderWithWidth(strokes, frame, (thin + thick) / 2);
}

/** Return grey values, row by row, for a stroke width in pixels of the image. */
function renderWithWidth(strokes, frame, width) {
  const scale = canvasScale(frame);
  const side = frame.side * scale;
  const canvas = new OffscreenCanvas(side, side);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const placement = placementFor(strokes, frame, width);
  drawStrokes(context, strokes, placement({ x: 0, y: 0 }), width * scale);
  if (frame.isByMass) {
    const centre = centreOfMass(context.getImageData(0, 0, side, side));
    context.clearRect(0, 0, side, side);
    drawStrokes(context, strokes, placement({ x: side / 2 - centre.x, y: side / 2 - centre.y }), width * scale);
  }
  return reduce(context.getImageData(0, 0, side, side), frame.side, scale);
}

/**
 * Return a function from a shift to a placement. The placement scales the drawing to the frame's box, centres it, and
 * moves it by the shift. It limits the shift so that the drawing stays inside the image.
 */
function placementFor(strokes, frame, width) {
  const points = strokes.flat();
  const [xs, ys] = [points.map((point) => point.x), points.map((point) => point.y)];
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const pixels = canvasScale(frame);
  const side = frame.side * pixels;
  const room = Math.max(1, (frame.box - width) * pixels);
  const scale = room / Math.max(right - left, bottom - top, 0.02);
  const margin = (extent) => Math.max(0, (side - scale * extent - width * pixels) / 2);
  const clamp = (value, limit) => Math.min(Math.max(value, -limit), limit);
  return (shift) => {
    const dx = side / 2 + clamp(shift.x, margin(right - left));
    const dy = side / 2 + clamp(shift.y, margin(bottom - top));
    const [cx, cy] = [(left + right) / 2, (top + bottom) / 2];
    return ({ x, y }) => ({ x: scale * (x - cx) + dx, y: scale * (y - cy) + dy });
  };
}

/** Return the number of canvas pixels for one pixel of the image, in each direction. */
function canvasScale(frame) {
  return Math.max(2, Math.floor(CANVAS_SIDE / frame.side));
}

function centreOfMass({ data, width }) {
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

/** Return the mean of each block of `scale` × `scale` pixels, row by row. */
function reduce({ data, width }, side, scale) {
  const sums = new Float64Array(side * side);
  for (let index = 3; index < data.length; index += 4) {
    const pixel = (index - 3) / 4;
    const row = Math.floor(pixel / width / scale);
    sums[row * side + Math.floor((pixel % width) / scale)] += data[index];
  }
  return Array.from(sums, (sum) => Math.round(sum / (scale * scale)));
}
