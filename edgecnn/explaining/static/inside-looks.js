// Where the network looks: occlusion and Grad-CAM over the image, for a class that the reader chooses.

import { make } from "./elements.js";
import { t } from "./words.js";
import { colorOf } from "./inside-colors.js";
import { captioned, colorLegend, themedCanvas } from "./inside-grid.js";
import { labelOf } from "./inside-network.js";
import { decode, magnitude, number } from "./inside-values.js";
import { percent } from "./wording.js";

/** Return the section with the pictures of attention, or null if there are none and none can be made. */
export function looksSection(network) {
  const { attention, order, labels } = network.explanation;
  if (!attention.length && !network.attend) return null;
  const known = new Set(attention.map(({ target }) => target));
  const targets = network.attend
    ? [...new Set([...order, ...labels.keys()])]
    : order.filter((target) => known.has(target));
  const select = make(
    "select",
    {},
    ...targets.map((target) => make("option", { value: target }, labelOf(network, target))),
  );
  const opacity = make("input", { type: "range", min: 0, max: 100, step: 5, value: 70 });
  const figures = make("div", { class: "figures" });
  const status = make("p", { class: "hint", role: "status" });
  figures.style.setProperty("--opacity", 0.7);
  opacity.addEventListener("input", () => figures.style.setProperty("--opacity", opacity.value / 100));
  const draw = async () => {
    const target = Number(select.value);
    try {
      const found = await attentionFor(network, target, () => (status.textContent = t("explain.looks.wait")));
      const drawn = await Promise.all(found.map((each) => figureOf(network, each)));
      if (Number(select.value) !== target) return;
      figures.replaceChildren(...drawn);
      status.textContent = "";
    } catch (error) {
      status.textContent = error.message || t("explain.failed");
    }
  };
  if (targets.includes(network.target)) select.value = String(network.target);
  select.addEventListener("change", () => {
    network.target = Number(select.value);
    draw();
  });
  draw();
  const hasGradCam = network.explanation.attention.some((each) => each.method === "grad-cam");
  return make(
    "section",
    { class: "panel-card" },
    make("h2", {}, t("explain.looks")),
    make("p", { class: "prose" }, t("explain.looks.text")),
    ...(hasGradCam ? [make("p", { class: "prose" }, t("explain.looks.about-grad-cam"))] : []),
    make(
      "div",
      { class: "looks" },
      make(
        "div",
        { class: "choices" },
        make("label", { class: "choice" }, make("span", {}, t("explain.class")), select),
        make("label", { class: "choice" }, make("span", {}, t("explain.opacity")), opacity),
        status,
      ),
      figures,
    ),
  );
}

/** Return the pictures of attention for a class; the server computes them on demand. */
async function attentionFor(network, target, onWait) {
  const known = network.explanation.attention.filter((each) => each.target === target);
  if (known.length) return known;
  onWait();
  const made = await network.attend(target);
  network.explanation = { ...network.explanation, attention: [...network.explanation.attention, made] };
  return [made];
}

async function figureOf(network, { method, target, picture }) {
  const [image, heat] = await Promise.all([decode(network.explanation.image), decode(picture)]);
  const text = textOf(network, method, target, heat);
  const view = make("div", { class: "grid-view overlaid", role: "img", "aria-label": text });
  view.style.setProperty("--ratio", `${image.width} / ${image.height}`);
  view.append(
    themedCanvas({ class: "under" }, (canvas) => paintGray(canvas, image)),
    themedCanvas({ class: "over" }, (canvas) => paintHeat(canvas, heat)),
  );
  const legend = colorLegend(
    magnitude(heat),
    method === "occlusion" ? (value) => percent(value, Math.abs(value) < 0.1 ? 1 : 0).replace("-", "−") : number,
  );
  return captioned(t(`explain.looks.${method}`), view, legend, make("p", { class: "looks-text" }, text));
}

function paintGray(canvas, image) {
  Object.assign(canvas, { height: image.height, width: image.width });
  const context = canvas.getContext("2d");
  const picture = context.createImageData(image.width, image.height);
  for (let start = 0; start < picture.data.length; start += 4) {
    const [red, green, blue] = image.rgba.slice(start, start + 3);
    const gray = 0.299 * red + 0.587 * green + 0.114 * blue;
    picture.data.set([gray, gray, gray, 255], start);
  }
  context.putImageData(picture, 0, 0);
}

/** Draw the values; the larger a value is, the less of the image shows through. */
function paintHeat(canvas, heat) {
  Object.assign(canvas, { height: heat.height, width: heat.width });
  const context = canvas.getContext("2d");
  const picture = context.createImageData(heat.width, heat.height);
  const range = magnitude(heat);
  heat.values.forEach((value, index) => {
    const share = value / range;
    const color = colorOf(Math.sign(share) * (0.35 + 0.5 * Math.abs(share)));
    picture.data.set([...color, Math.round(255 * Math.sqrt(Math.abs(share)))], 4 * index);
  });
  context.putImageData(picture, 0, 0);
}

function textOf(network, method, target, heat) {
  const name = labelOf(network, target);
  const best = heat.values.reduce((most, value, index) => (value > heat.values[most] ? index : most), 0);
  const [, height, width] = network.layers[0].shape;
  const middle = (cell, cells, size) => Math.floor(((cell + 0.5) * size) / cells);
  const place = {
    y: middle(Math.floor(best / heat.width), heat.height, height),
    x: middle(best % heat.width, heat.width, width),
  };
  const probability = network.explanation.probabilities[target];
  if (method !== "occlusion") return t("explain.looks.grad-cam.text", { name, ...place });
  if (heat.high <= 0) return t("explain.looks.occlusion.none", { name, probability: percent(probability) });
  const drop = heat.values[best];
  return t("explain.looks.occlusion.text", {
    name,
    ...place,
    before: percent(probability),
    after: percent(Math.max(probability - drop, 0)),
  });
}
