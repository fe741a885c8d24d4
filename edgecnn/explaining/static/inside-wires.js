// The wires between layers: each layer is in a lane, and each connection to a later layer keeps a lane until it ends.

import { makeSvg } from "./elements.js";

const HALF = 32; // Pixels from the top of a row to its node.
const WIDEST = 112;

/**
 * Return, for each layer, {lane, through, arriving, leaving}: its lane, and the wires {lane, isSkip} that pass it, end
 * at it and start from it. The longest path keeps the lane; the others take the next free lanes.
 */
export function lanes(layers) {
  const consumers = connections(layers);
  const lengths = pathLengths(consumers);
  const slots = [];
  return layers.map((layer, index) => {
    const wires = slots.map((wire, lane) => ({ ...wire, lane })).filter(({ to }) => to !== undefined);
    const arriving = wires.filter(({ to }) => to === index);
    for (const { lane } of arriving) delete slots[lane];
    const lane = arriving.length ? Math.min(...arriving.map((wire) => wire.lane)) : free(slots);
    const leaving = [...consumers[index]]
      .sort((a, b) => lengths[b] - lengths[a] || a - b)
      .map((to, place) => {
        const own = place === 0 ? lane : free(slots);
        const wire = { to, lane: own, isSkip: own > 0 && leadsToAdd(layers, consumers, to) };
        slots[wire.lane] = wire;
        return wire;
      });
    return { lane, arriving, leaving, through: wires.filter(({ to }) => to !== index) };
  });
}

/** Return whether a layer is an addition, or the only one before it, such as the convolution of a shortcut. */
function leadsToAdd(layers, consumers, place) {
  const isAdd = (index) => layers[index].operation === "add";
  return isAdd(place) || (consumers[place].size === 1 && isAdd([...consumers[place]][0]));
}

/** Return the places of the layers that read each layer. */
function connections(layers) {
  const places = new Map(layers.map((layer, index) => [layer.id, index]));
  const consumers = layers.map(() => new Set());
  layers.forEach((layer, index) => {
    for (const id of layer.inputs) if (places.get(id) < index) consumers[places.get(id)].add(index);
  });
  return consumers;
}

function pathLengths(consumers) {
  const lengths = new Array(consumers.length).fill(0);
  for (let index = consumers.length - 1; index >= 0; index -= 1) {
    for (const to of consumers[index]) lengths[index] = Math.max(lengths[index], 1 + lengths[to]);
  }
  return lengths;
}

function free(slots) {
  const lane = Array.from(slots).findIndex((wire) => wire === undefined);
  return lane < 0 ? slots.length : lane;
}

/** Return the distance between lanes, and the width of all, in pixels. */
export function spacing(rows) {
  const count = 1 + Math.max(...rows.flatMap((row) => [row.lane, ...row.leaving.map(({ lane }) => lane)]));
  const step = Math.min(18, WIDEST / count);
  return { step, width: Math.round(count * step + 8) };
}

/** Return the drawing of the wires of a row. It is as high as the row. */
export function drawWires(row, { step, width }, operation) {
  const place = (lane) => 8 + lane * step;
  const node = place(row.lane);
  const curve = (wire, fromX, fromY, toX, toY) => {
    const d = `M${fromX} ${fromY}C${fromX} ${fromY + HALF / 2} ${toX} ${toY - HALF / 2} ${toX} ${toY}`;
    return makeSvg("path", { d, class: kind(wire) });
  };
  const straight = (wire, from) => {
    const x = place(wire.lane);
    return makeSvg("line", { x1: x, y1: from, x2: x, y2: "100%", class: kind(wire) });
  };
  return makeSvg(
    "svg",
    { class: "wires", width, "aria-hidden": "true" },
    ...row.through.map((wire) => straight(wire, 0)),
    ...row.arriving.map((wire) => curve(wire, place(wire.lane), 0, node, HALF)),
    ...row.leaving.flatMap((wire) => [curve(wire, node, HALF, place(wire.lane), 2 * HALF), straight(wire, 2 * HALF)]),
    makeSvg("circle", { cx: node, cy: HALF, r: Math.min(5, step / 2), class: `node op-${operation}` }),
  );
}

function kind({ isSkip }) {
  return isSkip ? "wire skip" : "wire";
}
