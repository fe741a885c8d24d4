// The small images of the chapters, and tensors of them.

import { tensor } from "./operations.js";
import { pageData } from "./page.js";

/** Return an image of the page as a tensor [C, H, W] of numbers from 0 to 1. */
export function image(name) {
  const { channels, side, pixels } = pageData()[name];
  const bytes = Array.from(atob(pixels), (character) => character.charCodeAt(0) / 255);
  return tensor([channels, side, side], bytes);
}

/** Return the brightness of a tensor [3, H, W] as [1, H, W]; one channel stays as it is. */
export function grey(input) {
  const [channels, height, width] = input.shape;
  if (channels === 1) return input;
  const size = height * width;
  const shares = [0.299, 0.587, 0.114]; // ITU-R BT.601
  const value = (_, place) => shares.reduce((sum, share, c) => sum + share * input.data[c * size + place], 0);
  return tensor([1, height, width], Array.from({ length: size }, value));
}

/** Return a tensor [1, H, W] moved right by `dx` and down by `dy` pixels; zeros enter. */
export function shifted(input, dx, dy = 0) {
  const [, height, width] = input.shape;
  const value = (_, place) => {
    const [y, x] = [Math.floor(place / width) - dy, (place % width) - dx];
    return y >= 0 && y < height && x >= 0 && x < width ? input.data[y * width + x] : 0;
  };
  return tensor(input.shape, Array.from({ length: height * width }, value));
}
