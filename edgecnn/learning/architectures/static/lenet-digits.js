// The chapter "LeNet on digits": the maps and values of one digit, layer by layer.

import { choice, live } from "./controls.js";
import { bar, byId, make } from "./elements.js";
import { canvasColor } from "./grids.js";
import { pageData } from "./page.js";
import { percent } from "./wording.js";
import { t } from "./words.js";

const { digits, kernels } = pageData();
const STEPS = ["conv1", "pool1", "conv2", "pool2", "flatten", "fc1", "fc2", "logits", "softmax"];
const key = (name, values) => t(`learn.nets.digits.${name}`, values);

const digit = choice("digit", show);
live(show);

function show() {
  const { label, png, layers } = digits[digit()];
  const input = step("input", "1 × 32 × 32", make("ul", { class: "map-row" }, tile(png, key("image", { label }), "large")));
  const others = STEPS.map((name, index) => step(name, layers[index].shape.join(" × "), ...content(name, layers[index], label)));
  byId("steps").replaceChildren(input, ...others);
}

function step(name, shape, ...parts) {
  const heading = make("h3", {}, key(name), " ", make("span", { class: "shape" }, shape));
  return make("li", {}, heading, make("p", { class: "prose" }, key(`${name}.text`)), ...parts);
}

function content(name, layer, label) {
  if (layer.maps.length) return [maps(name, layer)];
  if (name === "logits" || name === "softmax") return [scores(name, layer.values, label)];
  return [strip(name, layer.values)];
}

function maps(name, layer) {
  const tiles = layer.maps.map(({ channel, png }) => {
    const item = tile(png, key("channel", { channel: channel + 1 }));
    if (name === "conv1") item.prepend(kernel(kernels[channel]));
    return item;
  });
  return make("ul", { class: `map-row ${name}` }, ...tiles);
}

function tile(png, label, kind = "") {
  const image = make("img", { class: `pixels ${kind}`, src: `data:image/png;base64,${png}`, alt: label });
  return make("li", {}, image, make("span", { "aria-hidden": "true" }, label));
}

/** Draw numbers as cells: negative blue, zero like the page, positive orange. */
function cells(rows, attributes) {
  const [negative, zero, positive] = ["--negative", "--zero", "--positive"].map((name) => canvasColor(name).match(/\d+/g).slice(0, 3).map(Number));
  const limit = Math.max(...rows.flat().map(Math.abs), 1e-6);
  const canvas = make("canvas", { width: rows[0].length, height: rows.length, role: "img", ...attributes });
  const context = canvas.getContext("2d");
  rows.forEach((row, y) => row.forEach((value, x) => {
    const [end, share] = [value < 0 ? negative : positive, Math.abs(value) / limit];
    context.fillStyle = `rgb(${zero.map((from, index) => Math.round(from + share * (end[index] - from))).join(" ")})`;
    context.fillRect(x, y, 1, 1);
  }));
  return canvas;
}

function kernel(rows) {
  return cells(rows, { class: "pixels kernel", "aria-label": key("kernel") });
}

function strip(name, values) {
  const active = values.filter((value) => value > 0).length;
  const label = key("strip", { count: values.length, active });
  return make("figure", {}, cells([values], { class: "pixels strip", "aria-label": label }), make("figcaption", {}, label));
}

function scores(name, values, label) {
  const [least, most] = [Math.min(...values, 0), Math.max(...values)];
  const rows = values.map((value, index) => {
    const share = name === "softmax" ? value : (value - least) / (most - least);
    const shown = name === "softmax" ? percent(value) : value.toFixed(2);
    const isBest = value === most;
    const head = make("th", { scope: "row" }, String(digits[index].label));
    return make("tr", isBest ? { class: "best" } : {}, head, make("td", { class: "wide-cell" }, bar(share)), make("td", { class: "number" }, shown));
  });
  const answer = key("answer", { answer: digits[values.indexOf(most)].label, label });
  return make("table", { class: "bars" }, make("caption", {}, name === "softmax" ? answer : key("scores")), make("tbody", {}, ...rows));
}
