// Charts of numbers, drawn by uPlot on a canvas. Each has a title, a legend, and a table of its values for screen
// readers and printing.

import { make } from "./elements.js";
import { isDark, onThemeChange } from "./theme.js";
import { currentLanguage, onLanguageChange, t } from "./words.js";

const HEIGHT = 300;
const COLORS = {
  light: ["#1d4ed8", "#b45309", "#0b6b43", "#a82121", "#7c3aed", "#0e7490", "#be185d", "#4d7c0f"],
  dark: ["#7aa2ff", "#f2bd67", "#5fd3a0", "#ff9b94", "#c4a5ff", "#67d5ea", "#ff9ecb", "#b5dd6a"],
};
const charts = new Set();

/**
 * Draw a chart into a figure element, and return a function that draws it again with another description.
 *
 * The description is an object, or a function that returns one in the current language:
 *   title: string;
 *   x, y: {label, log?: boolean, min?: number, max?: number, format?: (number) => string};
 *   categories?: [string] - names in place of the numbers on the x axis; x values are then 0, 1, 2 …;
 *   series: [{label, kind: "line" | "points" | "bars", x: [number], y: [number | null], names?: [string],
 *             dashed?: boolean, color?: number}] - `names` label the points; an empty one is not drawn. `color` is a
 *             number of the palette, by default that of the series.
 */
export function drawChart(figure, describe) {
  const chart = { figure, describe, plot: null };
  figure.classList.add("chart");
  charts.add(chart);
  new ResizeObserver(() => chart.plot?.setSize({ width: width(chart), height: HEIGHT })).observe(figure);
  draw(chart);
  return (next) => {
    chart.describe = next;
    draw(chart);
  };
}

function redraw() {
  for (const chart of charts) {
    if (chart.figure.isConnected) draw(chart);
    else charts.delete(chart);
  }
}

onThemeChange(redraw);
onLanguageChange(redraw);

function width(chart) {
  return Math.max(chart.figure.clientWidth, 240);
}

function draw(chart) {
  const spec = typeof chart.describe === "function" ? chart.describe() : chart.describe;
  chart.plot?.destroy();
  const holder = make("div", { class: "plot", role: "img", "aria-label": spec.title });
  const isOpen = chart.figure.querySelector("details")?.open ?? false;
  chart.figure.replaceChildren(make("figcaption", {}, spec.title), holder, valuesTable(spec));
  chart.figure.querySelector("details").open = isOpen;
  const xs = [...new Set(spec.series.flatMap((series) => series.x))].sort((a, b) => a - b);
  const places = new Map(xs.map((x, place) => [x, place]));
  const columns = spec.series.map((series) => {
    const column = new Array(xs.length).fill(null);
    series.x.forEach((x, index) => (column[places.get(x)] = series.y[index]));
    return column;
  });
  chart.plot = new uPlot(options(chart, spec), [xs, ...columns], holder);
}

function options(chart, spec) {
  const style = getComputedStyle(document.documentElement);
  const [text, grid] = ["--muted", "--line"].map((name) => resolved(style.getPropertyValue(name)));
  const colors = COLORS[isDark() ? "dark" : "light"];
  const font = `12px ${style.getPropertyValue("--font")}`;
  const axis = (side, more) => ({
    label: side.label, stroke: text, font, labelFont: font, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid },
    ...(side.format && { values: (_, splits) => splits.map((value) => (value === null ? "" : side.format(value))) }),
    ...more,
  });
  const named = spec.categories && {
    splits: () => spec.categories.map((_, index) => index),
    values: () => spec.categories,
    rotate: spec.categories.length > 8 ? -60 : 0,
    ...(spec.categories.length > 8 && { size: 90 }),
  };
  return {
    width: width(chart),
    height: HEIGHT,
    scales: { x: { time: false, ...scale(spec.x, spec.categories) }, y: scale(spec.y) },
    axes: [axis(spec.x, named), axis(spec.y, { size: 64 })],
    series: [
      { label: spec.x.label, ...(spec.categories && { value: (_, value) => spec.categories[value] ?? "" }) },
      ...spec.series.map((series, index) => seriesOptions(series, colors[(series.color ?? index) % colors.length], spec)),
    ],
    hooks: { draw: [(plot) => drawNames(plot, spec, text, font)] },
    legend: { live: false },
    cursor: { drag: { x: false, y: false } },
    locale: currentLanguage(),
  };
}

function scale(side, categories) {
  if (categories) return { range: [-0.6, categories.length - 0.4] };
  const limits = (_, low, high) => [side.min ?? padded(low, low, high, -1), side.max ?? padded(high, low, high, 1)];
  if (side.log) return { distr: 3 };
  return { range: limits };
}

function padded(value, low, high, sign) {
  return (value ?? 0) + sign * 0.05 * ((high ?? 1) - (low ?? 0) || 1);
}

function seriesOptions(series, color, spec) {
  const isLine = series.kind === "line";
  return {
    label: series.label,
    stroke: color,
    width: 2,
    dash: series.dashed ? [6, 4] : undefined,
    spanGaps: true,
    fill: series.kind === "bars" ? `${color}99` : undefined,
    paths: series.kind === "bars" ? uPlot.paths.bars({ size: [0.8, 60] }) : isLine ? undefined : () => null,
    points: { show: series.kind === "points" || (isLine && series.x.length < 25), size: isLine ? 5 : 9, fill: color },
    value: (_, value) => (value === null ? "" : formatted(spec.y, value)),
  };
}

/** Write the names of points beside them. */
function drawNames(plot, spec, color, font) {
  const context = plot.ctx;
  context.save();
  context.fillStyle = color;
  context.font = font.replace("12px", `${12 * devicePixelRatio}px`);
  for (const series of spec.series) {
    (series.names ?? []).forEach((name, index) => {
      const x = plot.valToPos(series.x[index], "x", true);
      const isRight = x > plot.bbox.left + 0.7 * plot.bbox.width;
      context.textAlign = isRight ? "right" : "left";
      const y = plot.valToPos(series.y[index], "y", true);
      context.fillText(name, x + (isRight ? -8 : 8) * devicePixelRatio, y - 6 * devicePixelRatio);
    });
  }
  context.restore();
}

/** Return a CSS colour as the browser computes it; a canvas does not understand light-dark(). */
function resolved(value) {
  const probe = make("span", {});
  probe.style.color = value;
  document.body.append(probe);
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
}

function formatted(side, value) {
  return side.format ? side.format(value) : value.toLocaleString(currentLanguage(), { maximumSignificantDigits: 4 });
}

function valuesTable(spec) {
  const cell = (side, value) => make("td", { class: "number" }, value === null ? "" : formatted(side, value));
  const rows = spec.series.flatMap((series) =>
    series.x.map((x, index) =>
      make(
        "tr", {}, make("th", { scope: "row" }, series.names?.[index] || series.label),
        spec.categories ? make("td", {}, spec.categories[x]) : cell(spec.x, x), cell(spec.y, series.y[index]),
      ),
    ),
  );
  const head = make("tr", {}, make("td", {}), ...[spec.x, spec.y].map((side) => make("th", { scope: "col" }, side.label)));
  const table = make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows));
  return make("details", {}, make("summary", {}, t("common.values")), make("div", { class: "wide" }, table));
}
