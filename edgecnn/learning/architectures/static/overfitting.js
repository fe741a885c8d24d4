// The chapter on overfitting: losses and accuracies of one variant, and validation losses of all.

import { drawChart } from "./charts.js";
import { choice, live } from "./controls.js";
import { byId } from "./elements.js";
import { pageData } from "./page.js";
import { percent } from "./wording.js";
import { t } from "./words.js";

const { series, steps } = pageData();
const LIMITS = { loss: { min: 0, max: 1.8 }, accuracy: { min: 40, max: 102 } };
const key = (name, values) => t(`learn.nets.overfitting.${name}`, values);

const variant = choice("variant", changed);
const drawn = ["loss", "accuracy"].map((measure) => drawChart(byId(measure), () => both(measure)));
drawChart(byId("validation"), () => ({
  title: key("chart.validation"),
  x: { label: key("step") },
  y: { label: key("axis.loss"), ...LIMITS.loss },
  series: series.map((each, index) => line(key(`variant${index}`), each.validation_loss.mean)),
}));
live(showReading);

function changed() {
  ["loss", "accuracy"].forEach((measure, index) => drawn[index](() => both(measure)));
  showReading();
}

function both(measure) {
  const found = series[variant()];
  const scale = measure === "accuracy" ? 100 : 1;
  return {
    title: key(`chart.${measure}`),
    x: { label: key("step") },
    y: { label: key(`axis.${measure}`), ...LIMITS[measure] },
    series: ["training", "validation"].map((part) =>
      line(key(`${part}-images`), found[`${part}_${measure}`].mean.map((value) => scale * value)),
    ),
  };
}

function line(label, y) {
  return { label, kind: "line", x: steps, y };
}

function showReading() {
  const { validation_loss: loss, training_accuracy: training, validation_accuracy: validation } = series[variant()];
  const lowest = Math.min(...loss.mean);
  byId("reading").textContent = key(`reading${variant()}`, {
    step: steps[loss.mean.indexOf(lowest)], lowest: lowest.toFixed(2), last: loss.mean.at(-1).toFixed(2),
    training: percent(training.mean.at(-1)), validation: percent(validation.mean.at(-1)),
  });
}
