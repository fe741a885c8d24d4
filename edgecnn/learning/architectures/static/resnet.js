// The chapter on ResNet: its blocks, one residual block, and the training losses by depth.

import { showBlocks } from "./blocks.js";
import { drawChart } from "./charts.js";
import { byId, makeSvg } from "./elements.js";
import { pageData } from "./page.js";
import { onLanguageChange, t } from "./words.js";

const { network, depths } = pageData();
const BOXES = [["x", 62, "other"], ["Conv2d 3×3", 118, "convolution"], ["BN, ReLU", 92, "other"], ["Conv2d 3×3", 118, "convolution"], ["BN", 52, "other"], ["+", 40, "plus"], ["ReLU", 62, "other"]];
const GAP = 28;

showBlocks(byId("blocks"), network);
onLanguageChange(showBlock);
showBlock();
for (const hasSkips of [false, true]) drawChart(byId(hasSkips ? "skips" : "plain"), () => losses(hasSkips));

function losses(hasSkips) {
  const highest = Math.max(...depths.series.flatMap((each) => each.loss.mean));
  return {
    title: t(`learn.nets.resnet.${hasSkips ? "with" : "without"}`),
    x: { label: t("learn.nets.epoch") },
    y: { label: t("learn.nets.resnet.loss"), min: 0, max: Math.ceil(10 * highest) / 10 },
    series: depths.series.filter((each) => each.skips === hasSkips).map((each) => ({
      label: t("learn.nets.resnet.depth", { count: each.depth }), kind: "line",
      x: each.loss.mean.map((_, epoch) => epoch + 1), y: each.loss.mean,
    })),
  };
}

/** Draw the two convolutions of a block, and the skip around them. */
function showBlock() {
  const svg = makeSvg("svg", { viewBox: "0 0 740 130", width: 740, role: "img", "aria-label": t("learn.nets.resnet.block") });
  let x = 4;
  const [y, height] = [70, 44];
  let start = 0;
  BOXES.forEach(([title, width, kind], index) => {
    if (index) svg.append(makeSvg("line", { class: "wire", x1: x - GAP, y1: y + height / 2, x2: x - 4, y2: y + height / 2, "marker-end": "url(#arrow)" }));
    if (!index) start = x + width / 2;
    if (kind === "plus") {
      const end = x + width / 2;
      svg.append(makeSvg("path", { class: "wire skip", d: `M ${start} ${y} C ${start} 10, ${start + 60} 14, ${(start + end) / 2} 14 S ${end} 10, ${end} ${y - 4}`, "marker-end": "url(#arrow)" }));
      svg.append(makeSvg("text", { class: "label", x: (start + end) / 2, y: 34 }, t("learn.nets.resnet.skip")));
    }
    svg.append(makeSvg("rect", { class: kind, x, y, width, height, rx: kind === "plus" ? 20 : 8 }));
    svg.append(makeSvg("text", { class: kind, x: x + width / 2, y: y + 27 }, title));
    x += width + GAP;
  });
  svg.append(makeSvg("defs", {}, makeSvg("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 6, markerHeight: 6, orient: "auto" }, makeSvg("path", { class: "head", d: "M 0 0 L 8 4 L 0 8 z" }))));
  byId("block").replaceChildren(svg);
}
