// FP32 beside INT8: the signal-to-noise ratio of each layer.

import { drawChart } from "./charts.js";
import { make } from "./elements.js";
import { t } from "./words.js";
import { nameOf } from "./inside-network.js";
import { number } from "./inside-values.js";

/** Return the section with the chart, or null without a compared bundle. */
export function precisionSection(network) {
  const measured = network.layers.flatMap((layer, place) =>
    typeof layer.snr_db === "number" ? [{ layer, place }] : [],
  );
  if (!network.explanation.compared || !measured.length) return null;
  const { model, compared } = network.explanation;
  const figure = make("figure", {});
  const weakest = measured.reduce((one, other) => (other.layer.snr_db < one.layer.snr_db ? other : one));
  const text = t("explain.snr.weakest", {
    place: weakest.place,
    name: nameOf(weakest.layer),
    n: number(weakest.layer.snr_db),
  });
  drawChart(figure, () => ({
    title: t("explain.snr.title", { model, compared }),
    x: { label: t("explain.snr.layer"), format: (place) => (Number.isInteger(place) ? String(place) : "") },
    y: { label: t("explain.snr.axis"), min: 0 },
    series: [
      {
        label: t("explain.snr"),
        kind: "line",
        x: measured.map(({ place }) => place),
        y: measured.map(({ layer }) => Math.min(layer.snr_db, 100)),
      },
    ],
  }));
  return make(
    "section",
    { class: "panel-card" },
    make("h2", {}, t("explain.precision")),
    make("p", { class: "prose" }, t("explain.precision.text")),
    make("p", {}, text),
    figure,
  );
}
