// The chapter "Receptive field": a stack of layers, and the pixels that one output depends on.

import { choice, live, slider } from "./controls.js";
import { byId, make, makeSvg } from "./elements.js";
import { Grid, pictureCells } from "./grids.js";
import { image } from "./images.js";
import { receptiveFields } from "./operations.js";
import { t } from "./words.js";

const PIXELS = 32;
const MOST_LAYERS = 6;
const SETTINGS = { kernel: [1, 2, 3, 5, 7], stride: [1, 2], dilation: [1, 2, 4] };
const layer = (kernel, stride = 1, dilation = 1) => ({ kernel, stride, dilation });
const PRESETS = {
  two: [layer(3), layer(3)],
  three: [layer(3), layer(3), layer(3)],
  five: [layer(5)],
  seven: [layer(7)],
  lenet: [layer(5), layer(2, 2), layer(5), layer(2, 2)],
  dilated: [layer(3), layer(3, 1, 2), layer(3, 1, 4)],
};
let layers = PRESETS.two;

const preset = choice("preset", () => {
  layers = PRESETS[preset()].map((each) => ({ ...each }));
  showLayers();
  changed();
});
const unit = slider("unit", changed);
const picture = new Grid(byId("picture"));

byId("add").addEventListener("click", () => edit([...layers, layer(3)]));

function edit(next) {
  layers = next;
  for (const each of document.getElementsByName("preset")) each.checked = false;
  showLayers();
  changed();
}

/** Draw the rows in which the reader edits the layers. */
function showLayers() {
  byId("layers").replaceChildren(
    ...layers.map((each, index) => {
      const fields = Object.entries(SETTINGS).map(([name, values]) => {
        const select = make("select", { "aria-label": t(`learn.ops.receptive-field.${name}_of`, { number: index + 1 }) });
        for (const value of values) select.append(make("option", { value }, String(value)));
        select.value = each[name];
        select.addEventListener("change", () => edit(layers.map((old) => (old === each ? { ...each, [name]: Number(select.value) } : old))));
        return make("td", {}, select);
      });
      const name = t("learn.ops.receptive-field.remove_of", { number: index + 1 });
      const remove = make("button", { type: "button", class: "secondary", "aria-label": name, title: name }, "×");
      remove.disabled = layers.length === 1;
      remove.addEventListener("click", () => {
        edit(layers.filter((old) => old !== each));
        byId("add").focus();
      });
      const results = ["field", "jump", "weights"].map((key) => make("td", { class: `number ${key}`, "data-result": key }));
      return make("tr", {}, make("th", { scope: "row" }, String(index + 1)), ...fields, ...results, make("td", {}, remove));
    }),
  );
  byId("add").disabled = layers.length >= MOST_LAYERS;
}

function changed() {
  const fields = receptiveFields(layers);
  fields.forEach(({ field, jump }, index) => {
    const cell = (key) => byId("layers").rows[index].querySelector(`[data-result=${key}]`);
    cell("field").replaceChildren(make("b", {}, `${field} × ${field}`));
    cell("jump").textContent = String(jump);
    cell("weights").textContent = String(layers[index].kernel ** 2);
  });
  const { field } = fields.at(-1);
  const weights = layers.reduce((sum, { kernel }) => sum + kernel ** 2, 0);
  byId("result").textContent = t("learn.ops.receptive-field.result", { field, weights, layers: layers.length });
  showPyramid(fields);
  showPicture(field);
}

/** Return, for each level from the input up, the number of cells, and which of them the chosen output depends on. */
function levels() {
  const counts = [PIXELS];
  for (const { stride } of layers) counts.push(Math.ceil(counts.at(-1) / stride));
  let needed = new Set([Math.min(counts.at(-1) - 1, Math.round(unit() * (counts.at(-1) - 1)))]);
  const found = [{ count: counts.at(-1), needed }];
  for (let index = layers.length - 1; index >= 0; index -= 1) {
    const { kernel, stride, dilation } = layers[index];
    const offset = Math.floor((dilation * (kernel - 1)) / 2);
    const below = new Set();
    for (const cell of needed) for (let k = 0; k < kernel; k += 1) below.add(cell * stride - offset + k * dilation);
    needed = new Set([...below].filter((cell) => cell >= 0 && cell < counts[index]));
    found.unshift({ count: counts[index], needed });
  }
  return found;
}

function showPyramid(fields) {
  const all = levels();
  const [width, gap] = [640, 58];
  const height = all.length * gap;
  const svg = byId("pyramid");
  const parts = [];
  all.forEach(({ count, needed }, level) => {
    const y = height - (level + 1) * gap + 30;
    const cell = width / count;
    const name = level ? t("learn.ops.receptive-field.level", { number: level }) : t("learn.ops.receptive-field.input");
    parts.push(makeSvg("text", { x: 2, y: y - 6 }, `${name}: ${needed.size} / ${count}`));
    for (let index = 0; index < count; index += 1) {
      const kind = needed.has(index) ? `cell level${Math.min(level, 1)}` : "cell";
      parts.push(makeSvg("rect", { x: index * cell + 1, y, width: cell - 2, height: 20, rx: 3, class: kind }));
    }
  });
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren(...parts);
  svg.setAttribute("aria-label", t("learn.ops.receptive-field.pyramid_alt", { pixels: all[0].needed.size, field: fields.at(-1).field }));
}

function showPicture(field) {
  const start = Math.round(PIXELS / 2 - field / 2);
  const side = Math.min(field, PIXELS);
  const mark = { y: Math.max(0, start), x: Math.max(0, start), height: side, width: side };
  picture.show({ ...pictureCells(image("flower")), marks: [mark] }, t("learn.ops.receptive-field.picture_alt", { field }));
}

live(() => {
  showLayers();
  changed();
});
