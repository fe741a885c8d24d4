// A convolution: a map, the window of the image that a value reads, and for the first layer the sum that makes it.

import { make } from "./elements.js";
import { t } from "./words.js";
import { captioned, colorLegend, gridView } from "./inside-grid.js";
import { inputView, windowOf } from "./inside-image.js";
import { linearView } from "./inside-linear.js";
import { described, mapsView } from "./inside-maps.js";
import { IMAGE } from "./inside-network.js";
import { meanSum, sumView, terms } from "./inside-sum.js";
import { decode, magnitude, number, reduction } from "./inside-values.js";

/** Return the maps and kernels of a convolution. */
export function convolutionView(network, layer) {
  if (!layer.maps.length) return linearView(network, layer); // It has one value a channel.
  const { kernels } = layer;
  const kernelOf = (channel) => kernels?.pictures[kernels.channels.indexOf(channel)] ?? null;
  return mapsView(network, layer, (map) => inspect(network, layer, map, kernelOf(map.channel)), kernelOf);
}

/** Return the place of a channel among the exact kernels; -1 if the layer is not the first one. */
function exactKernel(network, { kernels, inputs }, channel) {
  const source = network.byId.get(inputs[0]);
  const readsImage = source?.id === IMAGE || (source?.operation === "normalize" && source.inputs[0] === IMAGE);
  return readsImage && kernels?.values ? kernels.channels.indexOf(channel) : -1;
}

function inspect(network, layer, map, kernelPicture) {
  const readout = make("p", { class: "readout", "aria-live": "polite" });
  const written = make("div", { class: "written" });
  const input = inputView(network);
  const kernel = exactKernel(network, layer, map.channel);
  let [image, grid] = [null, null];
  const view = gridView({
    onCell(y, x) {
      if (!image || !grid) return;
      view.mark([{ top: y, left: x, height: 1, width: 1 }]);
      const k = reduction(layer, grid);
      const window_ = windowOf(network, layer, y, x, k);
      const value = grid.values[y * grid.width + x];
      readout.textContent = readText(network, layer, map, { y, x, value, window_ });
      if (kernel < 0) return input.mark([window_]);
      const sum = terms(network.explanation, image, layer, kernel, y * k, x * k);
      const mean = meanSum(network.explanation, image, layer, kernel, { y, x, k });
      input.mark([...sum.cells, window_]);
      written.replaceChildren(
        sumView(sum, { value, mean, k, step: (grid.high - grid.low) / 255, isInteger: layer.precision === "int8" }),
      );
    },
  });
  const figure = captioned(t("explain.map.hover", { n: map.channel }), view.element);
  const place = make("div", { class: "figures" }, captioned(t("explain.image"), input.element), figure);
  if (kernelPicture) place.append(kernelFigure(kernelPicture, layer, map.channel));
  Promise.all([input.ready, decode(map.picture)]).then((loaded) => {
    [image, grid] = loaded;
    view.show(grid, { label: `${described(t("explain.map", { n: map.channel }), grid)} ${t("explain.keys")}` });
    figure.append(colorLegend(magnitude(grid), number));
    const strongest = grid.values.reduce(
      (best, value, index) => (Math.abs(value) > Math.abs(grid.values[best]) ? index : best),
      0,
    );
    view.choose(Math.floor(strongest / grid.width), strongest % grid.width);
  });
  return make("div", { class: "part" }, place, readout, written);
}

function kernelFigure(picture, layer, channel) {
  const view = gridView();
  const inputs = layer.kernels.values?.[0]?.length;
  const caption = t(inputs === 1 || inputs === 3 ? "explain.kernel" : "explain.kernel.mean", { n: channel });
  const figure = captioned(caption, view.element);
  figure.classList.add("narrow");
  decode(picture).then((grid) => {
    view.show(grid, { isColor: inputs === 3, label: described(caption, grid) });
    if (inputs !== 3) figure.append(colorLegend(magnitude(grid), number));
  });
  return figure;
}

function readText(network, layer, map, { y, x, value, window_ }) {
  const [, height, width] = network.layers[0].shape;
  const { top, left } = window_;
  const [bottom, right] = [top + window_.height, left + window_.width];
  const text = t("explain.reads", {
    n: map.channel,
    y,
    x,
    value: number(value),
    top: Math.max(top, 0),
    bottom: Math.min(bottom, height) - 1,
    left: Math.max(left, 0),
    right: Math.min(right, width) - 1,
  });
  const isPadded = top < 0 || left < 0 || bottom > height || right > width;
  return isPadded ? `${text} ${t("explain.reads.padding")}` : text;
}
