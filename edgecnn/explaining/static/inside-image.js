// The input image, as it goes into the network, with outlines of the pixels that a value reads.

import { make } from "./elements.js";
import { t } from "./words.js";
import { captioned, gridView } from "./inside-grid.js";
import { sizeOf } from "./inside-network.js";
import { decode } from "./inside-values.js";

/** Return a view of the input image; `onCell` as in `gridView`. */
export function inputView(network, options = {}) {
  const view = gridView(options);
  view.ready = decode(network.explanation.image).then((grid) => {
    view.show(grid, { isColor: true, label: t("explain.image.described", { size: sizeOf(network.layers[0].shape) }) });
    return grid;
  });
  return view;
}

/** Return the panel of the input image: a pixel's bytes, on hover. */
export function imageView(network) {
  const readout = make("p", { class: "readout", "aria-live": "polite" });
  let image = null;
  const channels = network.layers[0].shape[0];
  const view = inputView(network, {
    onCell(y, x) {
      const start = 4 * (y * image.width + x);
      readout.textContent = t("explain.image.pixel", {
        y,
        x,
        value: [...image.rgba.slice(start, start + channels)].join(", "),
      });
      view.mark([{ top: y, left: x, height: 1, width: 1 }]);
    },
  });
  view.ready.then((grid) => (image = grid));
  return make("div", { class: "figures" }, captioned(t("explain.image"), view.element), readout);
}

/**
 * Return what pixel (y, x) of the picture of a map reads, as {top, left, height, width} of the image; all of it without
 * a receptive field. The pixel is the mean over k × k values.
 */
export function windowOf(network, { field }, y, x, k) {
  const [, height, width] = network.layers[0].shape;
  if (!field) return { top: 0, left: 0, height, width };
  const { start, size, jump } = field;
  return {
    top: start[0] + y * k * jump[0],
    left: start[1] + x * k * jump[1],
    height: size[0] + (k - 1) * jump[0],
    width: size[1] + (k - 1) * jump[1],
  };
}
