// A block a layer: its height is the side of the maps, its length the count of channels, both to scale within bounds.

import { makeSvg } from "./elements.js";

const [SIDE, LENGTH, SLANT] = [40, 44, 0.42];
const [WIDTH, HEIGHT] = [76, 60];

/** Return a function that draws the block of a layer, to the scale of all layers. */
export function blocks(layers) {
  const maps = layers.filter(({ shape }) => shape.length === 3);
  const largest = (list, part) => Math.max(1, ...list.map(({ shape }) => shape[part]));
  const side = Math.max(largest(maps, 1), largest(maps, 2));
  const channels = largest(maps, 0);
  const values = largest(
    layers.filter(({ shape }) => shape.length < 3),
    0,
  );
  const scaled = (value, limit, length, least) => Math.max(least, (length * value) / limit);
  return ({ shape, operation }) => {
    if (shape.length < 3) return cuboid(6, 6, scaled(shape[0] ?? 1, values, LENGTH, 6), operation);
    const [depth, height, width] = shape;
    return cuboid(
      scaled(height, side, SIDE, 4),
      scaled(width, side, SIDE, 4),
      scaled(depth, channels, LENGTH, 2.5),
      operation,
    );
  };
}

/** Return a cuboid: the front shows height and length, the right side shows height and width, slanted. */
function cuboid(height, width, length, operation) {
  const slant = SLANT * width;
  const left = (WIDTH - length - slant) / 2;
  const top = (HEIGHT - height + slant) / 2;
  const [right, bottom] = [left + length, top + height];
  const polygon = (kind, ...points) => makeSvg("polygon", { class: kind, points: points.map(joined).join(" ") });
  return makeSvg(
    "svg",
    {
      class: `block op-${operation}`,
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      width: WIDTH,
      height: HEIGHT,
      "aria-hidden": "true",
    },
    polygon("front", [left, top], [right, top], [right, bottom], [left, bottom]),
    polygon("top", [left, top], [left + slant, top - slant], [right + slant, top - slant], [right, top]),
    polygon("side", [right, top], [right + slant, top - slant], [right + slant, bottom - slant], [right, bottom]),
  );
}

function joined(point) {
  return point.map((value) => value.toFixed(1)).join(",");
}
