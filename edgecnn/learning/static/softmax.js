// The chapter "Softmax and decision": logits, temperature, probabilities, margin.

import { live, shown, slider } from "./controls.js";
import { bar, byId, make } from "./elements.js";
import { softmax } from "./operations.js";
import { percent } from "./wording.js";
import { t } from "./words.js";

const CLASSES = ["cat", "dog", "bird"];
const LIMITS = [-10, 10];

const logits = CLASSES.map((name) => slider(name, changed, (value) => shown(value, 1)));
const temperature = slider("temperature", changed, (value) => shown(value, 1));
const threshold = slider("threshold", changed, (value) => shown(value, 1));

for (const button of byId("shift").querySelectorAll("button")) {
  button.addEventListener("click", () => {
    const step = Number(button.dataset.add);
    const values = logits.map((logit) => logit() + step);
    if (values.every((value) => value >= LIMITS[0] && value <= LIMITS[1])) logits.forEach((logit, index) => logit.set(values[index]));
    changed();
  });
}

function changed() {
  const values = logits.map((logit) => logit());
  const probabilities = softmax(values, temperature());
  const powers = values.map((value) => Math.exp(value / temperature()));
  const sum = powers.reduce((total, power) => total + power, 0);
  const order = CLASSES.map((_, index) => index).sort((a, b) => values[b] - values[a]);
  byId("rows").replaceChildren(
    ...CLASSES.map((name, index) =>
      make(
        "tr", { class: index === order[0] ? "winner" : "" }, make("th", { scope: "row" }, t(`learn.ops.linear.${name}`)),
        make("td", { class: "number" }, shown(values[index], 1)), make("td", { class: "number" }, large(powers[index])),
        make("td", { class: "wide-cell" }, bar(probabilities[index])),
        make("td", { class: "number" }, percent(probabilities[index])),
      ),
    ),
  );
  byId("formula").replaceChildren(
    `e^(${shown(values[order[0]], 1)} / ${shown(temperature(), 1)}) / (${powers.map(large).join(" + ")}) = ${large(powers[order[0]])} / ${large(sum)} = `,
    make("b", {}, percent(probabilities[order[0]])),
  );
  showDecision(order, values);
  byId("torch").textContent = temperature() === 1 ? "logits.softmax(dim=1)" : `(logits / ${temperature()}).softmax(dim=1)`;
}

function showDecision([first, second], values) {
  const margin = values[first] - values[second];
  byId("margin").textContent = shown(margin, 1);
  const name = t(`learn.ops.linear.${CLASSES[first]}`);
  const isSure = margin >= threshold() && margin > 0;
  byId("decision").textContent = isSure ? name : t("learn.ops.softmax.unsure");
  byId("decision").className = isSure ? "sure" : "unsure";
  byId("ratio").textContent = t("learn.ops.softmax.ratio", {
    first: name, second: t(`learn.ops.linear.${CLASSES[second]}`), times: large(Math.exp(margin / temperature())),
    margin: shown(margin, 1), temperature: shown(temperature(), 1),
  });
}

/** Return a positive number of any size with three significant digits. */
function large(value) {
  return value >= 1e5 || value < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(3)));
}

live(changed);
