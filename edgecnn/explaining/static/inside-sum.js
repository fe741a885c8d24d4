// The sum of one value of the first convolution: pixels × weights + bias, term by term.

import { make } from "./elements.js";
import { t } from "./words.js";
import { cssColor, cssTextColor } from "./inside-colors.js";
import { number, term } from "./inside-values.js";

const SHOWN = 30;

/**
 * Return the terms of the value (y, x) of a map: {products: [{channel, row, column, pixel, weight}], bias, sum, cells}.
 * A normalized pixel is (pixel - mean) / deviation; in the padding it is 0. `cells` are rectangles on the image.
 */
export function terms({ mean, deviation }, image, { window: slide, kernels }, place, y, x) {
  const products = [];
  const cells = [];
  const weights = kernels.values[place];
  const largest = Math.max(...weights.flat(2).map(Math.abs)) || 1;
  weights.forEach((rows, channel) =>
    rows.forEach((row, down) =>
      row.forEach((weight, across) => {
        const top = y * slide.stride[0] - slide.padding[0] + down * slide.dilation[0];
        const left = x * slide.stride[1] - slide.padding[1] + across * slide.dilation[1];
        const isInside = top >= 0 && left >= 0 && top < image.height && left < image.width;
        const byte = isInside ? image.rgba[4 * (top * image.width + left) + channel] : mean[channel];
        const pixel = (byte - mean[channel]) / deviation[channel];
        products.push({ channel, row: down, column: across, pixel, weight });
        if (channel === 0)
          cells.push({ top, left, height: 1, width: 1, kind: "cell", fill: cssColor(weight / largest, 0.7) });
      }),
    ),
  );
  const bias = kernels.bias[place] ?? 0;
  return { products, bias, cells, sum: products.reduce((total, { pixel, weight }) => total + pixel * weight, bias) };
}

/** Return the mean of the sums of k × k neighbouring values, which is pixel (y, x) of the picture of a map. */
export function meanSum(explanation, image, layer, place, { y, x, k }) {
  const sums = [];
  for (let row = y * k; row < Math.min((y + 1) * k, layer.shape[1]); row += 1) {
    for (let column = x * k; column < Math.min((x + 1) * k, layer.shape[2]); column += 1) {
      sums.push(terms(explanation, image, layer, place, row, column).sum);
    }
  }
  return sums.reduce((total, sum) => total + sum, 0) / sums.length;
}

/** Return the sum written out: grids of pixels, weights and products for each channel, then all terms in one line. */
export function sumView({ products, bias, sum }, { value, mean, k, step, isInteger }) {
  const count = 1 + Math.max(...products.map(({ channel }) => channel));
  const parts = Array.from({ length: count }, (_, channel) => {
    const own = products.filter((each) => each.channel === channel);
    const name = count === 3 ? t(`explain.channel.${channel}`) : count > 1 ? t("explain.channel", { n: channel }) : "";
    return channelRow(name, own);
  });
  const total = make(
    "p",
    { class: "total" },
    t("explain.sum.total", {
      n: products.length,
      products: number(sum - bias, 5),
      bias: term(bias, 4),
      sum: number(sum, 5),
    }),
  );
  Object.assign(total.dataset, { sum: mean, value, step });
  const key = k === 1 ? "explain.sum.check" : "explain.sum.check.mean";
  const check = make(
    "p",
    { class: "hint" },
    t(key, { k, mean: number(mean, 4), value: number(value, 4), step: number(step / 2, 2) }),
  );
  if (isInteger) check.append(" ", t("explain.sum.check.int8"));
  return make(
    "div",
    { class: "sum" },
    make("h4", {}, t("explain.sum")),
    ...parts,
    line(products, bias, sum),
    total,
    check,
  );
}

function channelRow(name, products) {
  const columns = 1 + Math.max(...products.map(({ column }) => column));
  const table = (title, valueOf) => numbers(title, products.map(valueOf), columns);
  return make(
    "div",
    { class: "sum-row wide", tabindex: "0", role: "group", "aria-label": name || t("explain.sum") },
    ...(name ? [make("strong", {}, name)] : []),
    table(t("explain.pixels"), ({ pixel }) => pixel),
    make("span", { class: "sign", "aria-hidden": "true" }, "×"),
    table(t("explain.weights"), ({ weight }) => weight),
    make("span", { class: "sign", "aria-hidden": "true" }, "="),
    table(t("explain.products"), ({ pixel, weight }) => pixel * weight),
  );
}

/** Return a table of values; the colours of its cells show sign and size. */
function numbers(title, values, columns) {
  const range = Math.max(...values.map(Math.abs)) || 1;
  const decimals = Math.min(Math.max(2, 1 + Math.ceil(-Math.log10(range))), 6);
  const rows = Array.from({ length: values.length / columns }, (_, row) =>
    make("tr", {}, ...values.slice(row * columns, (row + 1) * columns).map((value) => cell(value, range, decimals))),
  );
  return make("table", { class: "numbers" }, make("caption", {}, title), make("tbody", {}, ...rows));
}

function cell(value, range, decimals) {
  const text = value.toFixed(decimals);
  const element = make("td", {}, Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−"));
  element.style.background = cssColor(value / range);
  element.style.color = cssTextColor(value / range);
  return element;
}

function line(products, bias, sum) {
  const product = ({ pixel, weight }) =>
    `${number(pixel, 4)} × ${weight < 0 ? `(${number(weight, 4)})` : number(weight, 4)}`;
  const last = t("explain.sum.bias", { bias: term(bias, 4) });
  const text = `${products.map(product).join(" + ")} ${last} = ${number(sum, 5)}`;
  const written = make("p", { class: "terms" }, text);
  if (products.length <= SHOWN) return written;
  return make("details", {}, make("summary", {}, t("explain.sum.all", { n: products.length })), written);
}
