// The chapter "Linear layer": one weighted sum, then one for each class.

import { factor, live, numberGrid, shown, slider } from "./controls.js";
import { bar, byId, make } from "./elements.js";
import { linear, tensor } from "./operations.js";
import { t } from "./words.js";

const SUBJECTS = ["mathematics", "physics", "chemistry"];
const EVIDENCE = ["ears", "whiskers", "snout", "feathers"];
const CLASSES = ["cat", "dog", "bird"];
const WEIGHTS = [
  [2, 1.5, -1.5, -2],
  [-1.5, 0.5, 2, -2],
  [-0.5, -1.5, -1, 3],
];
const BIASES = [0, 0.2, -0.3];

// One output.
const marks = SUBJECTS.map((_, index) => slider(`mark${index}`, showMark, String));
const weights = SUBJECTS.map((_, index) => slider(`weight${index}`, showMark, (value) => shown(value)));
const bias = slider("bias", showMark, String);

function showMark() {
  const x = marks.map((mark) => mark());
  const w = weights.map((weight) => weight());
  const [y] = linear(tensor([3], x), tensor([1, 3], w), [bias()]).data;
  const terms = x.map((value, index) => `${value} × ${factor(w[index])}`);
  byId("mark-formula").replaceChildren(`y = ${terms.join(" + ")} + ${factor(bias())} = `, make("b", {}, shown(y, 2)));
  const parts = SUBJECTS.map((name, index) => ({ name: t(`learn.ops.linear.${name}`), value: x[index] * w[index] }));
  byId("parts").replaceChildren(...rowsOf([...parts, { name: t("learn.ops.linear.bias"), value: bias() }]));
  const matrix = w.map((value) => shown(value)).join(", ");
  byId("mark-shapes").textContent = `x [1, 3]: [[${x.join(", ")}]]   W [1, 3]: [[${matrix}]]   b [1]: [${shown(bias())}]   y = x @ W.T + b`;
}

/** Return table rows of named contributions, with a bar for each. */
function rowsOf(parts) {
  const most = Math.max(1e-6, ...parts.map(({ value }) => Math.abs(value)));
  return parts.map(({ name, value }) =>
    make(
      "tr", {}, make("th", { scope: "row" }, name),
      make("td", { class: "wide-cell" }, bar(Math.abs(value) / most, value < 0 ? "negative" : "positive")),
      make("td", { class: "number" }, shown(value)),
    ),
  );
}

// Several classes.
const evidence = EVIDENCE.map((name) => slider(name, showClasses, (value) => shown(value, 1)));
const rows = CLASSES.map((name, row) =>
  numberGrid(byId(`weights-${name}`), {
    rows: 1, columns: EVIDENCE.length, values: WEIGHTS[row], step: 0.5, listener: showClasses,
    label: (_, column) => t("learn.ops.linear.weight_of", {
      class: t(`learn.ops.linear.${name}`), evidence: t(`learn.ops.linear.${EVIDENCE[column]}`),
    }),
  }),
);

function showClasses() {
  const x = evidence.map((each) => each());
  const w = rows.flatMap((row) => row.values());
  const logits = Array.from(linear(tensor([4], x), tensor([3, 4], w), BIASES).data);
  const winner = logits.indexOf(Math.max(...logits));
  byId("logits").replaceChildren(
    ...CLASSES.map((name, row) => {
      const kind = row === winner ? "winner" : "";
      const value = make("td", { class: "number" }, make("b", {}, shown(logits[row])));
      const terms = x.map((each, column) => `${shown(each, 1)} × ${factor(w[row * 4 + column])}`).join(" + ");
      const cells = [make("td", { class: "terms" }, `${terms} + ${factor(BIASES[row])}`), value];
      return make("tr", { class: kind }, make("th", { scope: "row" }, t(`learn.ops.linear.${name}`)), ...cells);
    }),
  );
  const name = t(`learn.ops.linear.${CLASSES[winner]}`);
  byId("winner").textContent = t("learn.ops.linear.winner", { name, logit: shown(logits[winner]) });
  const parts = EVIDENCE.map((each, column) => ({
    name: t(`learn.ops.linear.${each}`), value: x[column] * w[winner * 4 + column],
  }));
  byId("why").replaceChildren(...rowsOf([...parts, { name: t("learn.ops.linear.bias"), value: BIASES[winner] }]));
}

live(showMark);
live(showClasses);
