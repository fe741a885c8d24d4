// The chapter on GoogLeNet: its blocks, the branches of one module, and what the bottlenecks save.

import { showBlocks } from "./blocks.js";
import { drawChart } from "./charts.js";
import { byId, makeSvg } from "./elements.js";
import { pageData } from "./page.js";
import { onLanguageChange, t } from "./words.js";

const MODULE = "inception3a";
const { network, modules } = pageData();
const BOX = { width: 132, height: 44 };
const COLUMNS = [10, 190, 390, 590];
const ROWS = [16, 82, 148, 214];

showBlocks(byId("blocks"), network);
onLanguageChange(showModule);
showModule();
drawChart(byId("bottlenecks"), () => ({
  title: t("learn.nets.googlenet.chart"),
  x: { label: t("learn.nets.googlenet.modules") },
  y: { label: t("learn.nets.googlenet.millions"), min: 0 },
  categories: modules.map((each) => each.name.replace("inception", "")),
  series: [["direct_macs", "direct"], ["macs", "own"]].map(([field, key]) => ({
    label: t(`learn.nets.googlenet.${key}`), kind: "bars", x: modules.map((_, index) => index),
    y: modules.map((each) => each[field] / 1e6),
  })),
}));

/** Draw the four branches of a module; a wire is as wide as its channels are many. */
function showModule() {
  const own = network.layers.filter((layer) => layer.name.startsWith(`${MODULE}.`));
  const named = (name) => own.find((layer) => layer.name === `${MODULE}.${name}`);
  const before = modules.find((each) => each.name === MODULE).channels;
  const branches = [
    [named("branch1.conv")], [named("branch2.0.conv"), named("branch2.1.conv")],
    [named("branch3.0.conv"), named("branch3.1.conv")], [named("branch4.0"), named("branch4.1.conv")],
  ];
  const joined = branches.reduce((sum, branch) => sum + branch.at(-1).shape[0], 0);
  const svg = makeSvg("svg", {
    viewBox: "0 0 800 276", width: 800, role: "img", "aria-label": t("learn.nets.googlenet.module"),
  });
  const middle = (ROWS[0] + ROWS[3] + BOX.height) / 2;
  branches.forEach((branch, row) => {
    const y = ROWS[row] + BOX.height / 2;
    const columns = branch.length === 1 ? [COLUMNS[2]] : [COLUMNS[1], COLUMNS[2]];
    svg.append(wire(COLUMNS[0] + 96, middle, columns[0], y, before));
    branch.forEach((layer, index) => {
      const next = index + 1 < branch.length ? [columns[index + 1], y] : [COLUMNS[3] + 30, middle];
      svg.append(wire(columns[index] + BOX.width, y, ...next, layer.shape[0]));
    });
  });
  branches.forEach((branch, row) => {
    const columns = branch.length === 1 ? [COLUMNS[2]] : [COLUMNS[1], COLUMNS[2]];
    branch.forEach((layer, index) => {
      const isPool = layer.kind.startsWith("Max");
      const isNarrow = !isPool && layer.kind.endsWith("1×1") && branch.length > 1;
      const channels = t("learn.nets.channels", { count: layer.shape[0] });
      svg.append(...box(columns[index], ROWS[row], isPool ? "pooling" : isNarrow ? "narrow" : "convolution", layer.kind, channels));
    });
  });
  svg.append(...box(COLUMNS[0], middle - BOX.height / 2, "other", t("learn.nets.input"), t("learn.nets.channels", { count: before }), 96));
  svg.append(...box(COLUMNS[3] + 30, middle - BOX.height / 2, "other", "Concat", t("learn.nets.channels", { count: joined }), 120));
  byId("module").replaceChildren(svg);
}

function wire(x1, y1, x2, y2, channels) {
  const bend = (x2 - x1) / 2;
  const d = `M ${x1} ${y1} C ${x1 + bend} ${y1}, ${x2 - bend} ${y2}, ${x2} ${y2}`;
  return makeSvg("path", { class: "wire", d, "stroke-width": Math.max(1.5, channels / 12).toFixed(1) });
}

function box(x, y, kind, title, text, width = BOX.width) {
  return [
    makeSvg("rect", { class: kind, x, y, width, height: BOX.height, rx: 8 }),
    makeSvg("text", { class: kind, x: x + width / 2, y: y + 19 }, title),
    makeSvg("text", { class: `${kind} small`, x: x + width / 2, y: y + 35 }, text),
  ];
}
