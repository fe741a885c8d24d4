// The list of layers: a row a layer, with wires, a block, its name, and pictures of its strongest maps. A row opens.

import { make } from "./elements.js";
import { t } from "./words.js";
import { blocks } from "./inside-block.js";
import { moveByArrows } from "./inside-focus.js";
import { gridView } from "./inside-grid.js";
import { kindOf, nameOf, placeOf, shapeOf } from "./inside-network.js";
import { panelOf } from "./inside-panels.js";
import { decode, gridOf, number, whole } from "./inside-values.js";
import { drawWires, lanes, spacing } from "./inside-wires.js";

const THUMBNAILS = 3;
const LONG = 30; // From this many layers, a list of names leads to each.
let lastId = 0;

/** Return the section with the layers of a network. */
export function layersSection(network) {
  const rows = lanes(network.layers);
  const space = spacing(rows);
  const block = blocks(network.layers);
  const list = make("ol", { class: "layers" });
  list.style.setProperty("--wires", `${space.width}px`);
  const open = (id) => openLayer(list, id);
  const thumbnails = whenVisible(list);
  network.layers.forEach((layer, index) => {
    const wires = drawWires(rows[index], space, layer.operation);
    list.append(row(network, layer, { wires, block: block(layer), open, thumbnails }));
  });
  moveByArrows(list, ".layer-head");
  const parameters = network.layers.reduce((total, { parameters: count }) => total + count, 0);
  const counts = { layers: whole(network.layers.length - 1), parameters: whole(parameters) };
  return make(
    "section",
    { class: "panel-card" },
    make("h2", {}, t("explain.layers")),
    make("p", { class: "hint" }, t("explain.layers.hint", counts)),
    ...(network.layers.length > LONG ? [jumpTo(network, open)] : []),
    list,
  );
}

/** Return the choice of a layer to open. */
function jumpTo(network, open) {
  const options = network.layers.map((layer, place) =>
    make(
      "option",
      { value: place },
      `${place ? `${place}. ` : ""}${nameOf(layer)}${t("explain.comma")}${kindOf(layer)}`,
    ),
  );
  const select = make("select", {}, ...options);
  select.addEventListener("change", () => open(network.layers[Number(select.value)].id));
  return make("label", { class: "choice" }, make("span", {}, t("explain.layers.jump")), select);
}

function row(network, layer, { wires, block, open, thumbnails }) {
  const id = `layer-${(lastId += 1)}`;
  const head = make(
    "button",
    { type: "button", class: "layer-head", "aria-expanded": "false", "aria-controls": id },
    block,
    texts(layer, placeOf(network, layer)),
    thumbnails(layer),
  );
  const panel = make("div", { class: "layer-panel", id, hidden: "" });
  const item = make("li", { class: `layer op-${layer.operation}` }, wires, make("h3", {}, head), panel);
  item.dataset.id = layer.id;
  const toggle = (isOpen) => {
    head.setAttribute("aria-expanded", String(isOpen));
    panel.hidden = !isOpen;
    panel.replaceChildren(...(isOpen ? [panelOf(network, layer, open)] : []));
    network.opened[isOpen ? "add" : "delete"](layer.id);
  };
  head.addEventListener("click", () => toggle(panel.hidden));
  item.addEventListener("open-layer", () => {
    if (panel.hidden) toggle(true);
  });
  if (network.opened.has(layer.id)) toggle(true);
  return item;
}

/** Open the row of a layer, and move to it. */
function openLayer(list, id) {
  const item = [...list.children].find(({ dataset }) => dataset.id === id);
  item.dispatchEvent(new Event("open-layer"));
  item.querySelector(".layer-head").focus({ preventScroll: true });
  item.scrollIntoView({ block: "start" });
}

function texts(layer, place) {
  const name = make("span", { class: "layer-name" }, layer.name || kindOf(layer));
  const kind = make("span", { class: "layer-kind" }, kindOf(layer));
  const shape = make("span", { class: "layer-shape" }, shapeOf(layer));
  const place_ = make("span", { class: "layer-number" }, place ? String(place) : "");
  const parts = [place_, name, ...(layer.name ? [kind] : []), shape];
  if (layer.snr_db !== undefined && layer.snr_db !== null) parts.push(decibels(layer.snr_db));
  return make("span", { class: "layer-texts" }, ...parts.flatMap((part) => [part, " "]));
}

function decibels(value) {
  const text = value >= 200 ? t("explain.snr.equal") : t("explain.snr.value", { n: number(value) });
  return make("span", { class: `layer-snr ${value < 20 ? "weak" : ""}` }, text);
}

/** Return a function that returns the place for a layer's small pictures. They are drawn when they become visible. */
function whenVisible(list) {
  const waiting = new Map();
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        observer.unobserve(target);
        waiting.get(target)();
        waiting.delete(target);
      }
    },
    { rootMargin: "300px" },
  );
  return (layer) => {
    const place = make("span", { class: "thumbnails", "aria-hidden": "true" });
    waiting.set(place, () => drawThumbnails(place, layer));
    observer.observe(place);
    return place;
  };
}

async function drawThumbnails(place, layer) {
  const add = (grid, options) => {
    const view = gridView({ kind: "thumbnail" });
    view.element.removeAttribute("role");
    view.show(grid, options);
    view.element.removeAttribute("aria-label");
    place.append(view.element);
  };
  for (const map of layer.maps.slice(0, THUMBNAILS)) add(await decode(map.picture));
  if (!layer.maps.length && layer.values.length > 1) {
    place.classList.add("strip");
    add(gridOf(1, Math.min(layer.values.length, 400), layer.values.slice(0, 400)));
  }
}
