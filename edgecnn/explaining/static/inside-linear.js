// A linear layer: its values; for the last one, the contributions of its inputs to the logit of a class.

import { make } from "./elements.js";
import { t } from "./words.js";
import { placeOfCell } from "./inside-flatten.js";
import { gridView } from "./inside-grid.js";
import { headOf, labelOf, nameOf, sources } from "./inside-network.js";
import { rowView } from "./inside-row.js";
import { decode, extent, magnitude, number, signed, term, whole } from "./inside-values.js";

/** Return the values of a linear layer, and the contributions if it is the last one. */
export function linearView(network, layer) {
  const isHead = layer === headOf(network) && layer.values.length === network.explanation.labels.length;
  const parts = isHead && network.explanation.contributions.length ? [contributionsView(network, layer)] : [];
  return make("div", { class: "parts" }, ...parts, valuesView(network, layer, isHead));
}

/** Return a layer's values as a row of cells; the reader chooses one to read it. */
export function valuesView(network, layer, isLogits = false) {
  if (!layer.values.length) return make("p", { class: "hint" }, t("explain.no_values"));
  const readout = make("p", { class: "readout", "aria-live": "polite" });
  const { low, high } = extent(layer.values);
  const label = t("explain.values.described", { n: whole(layer.values.length), low: number(low), high: number(high) });
  const row = rowView(layer.values, {
    label: `${label} ${t("explain.keys")}`,
    range: magnitude({ low, high }),
    onValue(index) {
      const name = isLogits ? labelOf(network, index) : "";
      readout.textContent = t(isLogits ? "explain.value.class" : "explain.value", {
        n: index,
        name,
        value: number(layer.values[index], 4),
      });
    },
  });
  row.choose(layer.values.indexOf(high));
  return make(
    "div",
    { class: "part" },
    make("h4", {}, t("explain.values", { n: whole(layer.values.length) })),
    row.element,
    readout,
  );
}

function contributionsView(network, layer) {
  const { contributions } = network.explanation;
  const content = make("div", { class: "contributions" });
  const select = make(
    "select",
    {},
    ...contributions.map(({ target }) => make("option", { value: target }, labelOf(network, target))),
  );
  const draw = () => {
    network.target = Number(select.value);
    content.replaceChildren(
      ...drawn(
        network,
        layer,
        contributions.find(({ target }) => target === network.target),
      ),
    );
  };
  if (contributions.some(({ target }) => target === network.target)) select.value = String(network.target);
  select.addEventListener("change", draw);
  draw();
  const choice = make("label", { class: "choice" }, make("span", {}, t("explain.class")), select);
  return make("div", { class: "part" }, make("h4", {}, t("explain.contributions")), choice, content);
}

function drawn(network, layer, { target, bias, logit, largest, rest }) {
  const products = largest.map(([input, value, weight]) => ({ input, value, weight, product: value * weight }));
  const listed = products.reduce((sum, { product }) => sum + product, 0);
  const widest = Math.max(...products.map(({ product }) => Math.abs(product)), 1e-12);
  const rows = products.map((each) => contributionRow(network, layer, each, widest));
  const total = make(
    "p",
    { class: "total" },
    t("explain.contributions.sum", {
      name: labelOf(network, target),
      n: products.length,
      listed: number(listed, 5),
      rest: term(rest, 4),
      bias: term(bias, 4),
      logit: number(logit, 5),
    }),
  );
  Object.assign(total.dataset, { sum: listed + rest + bias, logit });
  const head = ["input", "value", "weight", "product"].map((key) =>
    make("th", { scope: "col", class: key === "input" ? "" : "number" }, t(`explain.contributions.${key}`)),
  );
  const table = make(
    "table",
    { class: "contribution-table" },
    make("caption", { class: "visually-hidden" }, t("explain.contributions")),
    make("thead", {}, make("tr", {}, ...head, make("td", { class: "bar-cell" }))),
    make("tbody", {}, ...rows),
  );
  return [
    total,
    make("div", { class: "wide", tabindex: "0", role: "group", "aria-label": t("explain.contributions") }, table),
  ];
}

function contributionRow(network, layer, { input, value, weight, product }, widest) {
  const sides = make(
    "div",
    { class: `sides ${product < 0 ? "negative" : "positive"}`, "aria-hidden": "true" },
    make("span"),
  );
  sides.firstChild.style.setProperty("--share", Math.abs(product) / widest);
  const cells = [number(value), signed(weight), signed(product)].map((text) => make("td", { class: "number" }, text));
  return make("tr", {}, inputCell(network, layer, input), ...cells, make("td", { class: "bar-cell" }, sides));
}

/** Return the cell that names an input: the place in a map, or the number of a value, that it comes from. */
function inputCell(network, layer, input) {
  const { source, shape } = origin(network, layer);
  const cell = make("th", { scope: "row" });
  if (!source || shape.length !== 3) {
    cell.append(t("explain.input", { n: input, name: source ? nameOf(source) : "" }));
    return cell;
  }
  const place = placeOfCell(input, shape);
  const map = source.maps.find(({ channel }) => channel === place.channel);
  if (map) cell.append(thumbnail(map, place, shape[1] * shape[2] > 1));
  const isMean = shape[1] * shape[2] === 1;
  cell.append(t(isMean ? "explain.input.mean" : "explain.input.map", { n: input, ...place, name: nameOf(source) }));
  return cell;
}

/** Return the layer whose values a linear layer reads, through layers that keep the order, and their shape. */
function origin(network, layer) {
  let [source] = sources(network, layer);
  while (
    source &&
    source.shape.length === 1 &&
    ["relu", "activation", "dropout", "batch_norm"].includes(source.operation)
  ) {
    [source] = sources(network, source);
  }
  const before = source && sources(network, source)[0];
  if (source?.operation === "flatten" && before?.shape.length === 3) return origin3d(network, before);
  if (source?.operation === "global_average_pool" && before) return { source: before, shape: [before.shape[0], 1, 1] };
  return { source, shape: source?.shape ?? [] };
}

/** Return the maps before a flatten layer; those before pooling if it pooled them to one value a map. */
function origin3d(network, source) {
  const before = sources(network, source)[0];
  const isPooled = source.operation === "global_average_pool" && before?.shape.length === 3;
  return { source: isPooled ? before : source, shape: source.shape };
}

function thumbnail(map, { y, x }, isPlace) {
  const view = gridView({ kind: "thumbnail" });
  view.element.setAttribute("role", "presentation");
  decode(map.picture).then((grid) => {
    view.show(grid);
    view.element.removeAttribute("aria-label");
    if (isPlace) view.mark([{ top: y, left: x, height: 1, width: 1 }]);
  });
  return view.element;
}
