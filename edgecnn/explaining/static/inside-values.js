// Decodes the pictures of an explanation to values, and formats values.

import { currentLanguage } from "./words.js";

const grids = new WeakMap();

/**
 * Return the values of a picture: {height, width, values, rgba, low, high}. `values` are the first channel's, row by
 * row; `rgba` are the bytes of the picture, four a pixel.
 */
export function decode(picture) {
  if (!grids.has(picture)) grids.set(picture, read(picture));
  return grids.get(picture);
}

async function read({ png, low, high }) {
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  const raw = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }), raw);
  const { height, width } = bitmap;
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { height, width });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const rgba = context.getImageData(0, 0, width, height).data;
  const step = (high - low) / 255;
  const values = Float32Array.from({ length: height * width }, (_, index) => low + step * rgba[4 * index]);
  return { height, width, values, rgba, low, high };
}

/** Return a grid of given values, row by row. */
export function gridOf(height, width, values) {
  const { low, high } = extent(values);
  return { height, width, values: Float32Array.from(values), low, high };
}

/** Return k if a pixel of the picture of a layer's map is the mean over k × k values of the map. */
export function reduction({ shape }, { height, width }) {
  return Math.max(Math.ceil(shape[1] / height), Math.ceil(shape[2] / width));
}

/** Return the smallest and the largest of many values. */
export function extent(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return { low, high };
}

/** Return the largest absolute value of grids, or 1 if all are 0. */
export function magnitude(...all) {
  return Math.max(...all.flatMap(({ low, high }) => [Math.abs(low), Math.abs(high)])) || 1;
}

/** Return ‖a - b‖ / ‖b‖ of two lists of values; 0 if both are 0. */
export function relativeChange(a, b) {
  let [difference, norm] = [0, 0];
  for (let index = 0; index < b.length; index += 1) {
    difference += (a[index] - b[index]) ** 2;
    norm += b[index] ** 2;
  }
  return difference === 0 ? 0 : Math.sqrt(difference / norm);
}

/** Format a value with a number of significant digits. */
export function number(value, digits = 3) {
  if (value !== 0 && Math.abs(value) < 1e-4) return value.toExponential(1).replaceAll("-", "−");
  const text = value.toLocaleString(currentLanguage(), { maximumSignificantDigits: digits });
  return text.replace("-", "−");
}

/** Format a value with its sign. */
export function signed(value, digits = 3) {
  return value > 0 ? `+${number(value, digits)}` : number(value, digits);
}

/** Format a value as a term of a sum: `+ 0.5` or `− 0.5`. */
export function term(value, digits = 3) {
  return `${value < 0 ? "−" : "+"} ${number(Math.abs(value), digits)}`;
}

/** Format a count, such as 11,689,512. */
export function whole(value) {
  return value.toLocaleString(currentLanguage());
}
