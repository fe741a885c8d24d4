// Controls of the playgrounds: sliders, choices, editable grids of numbers, and a stepper. The templates draw most of
// them (`controls.html`).

import { byId, make } from "./elements.js";
import { onThemeChange } from "./theme.js";
import { currentLanguage, onLanguageChange, t } from "./words.js";

const STEP_MS = 350;
const LARGEST = 9999; // of an edited number

/** Run a function that draws, now and after each change of the language or the theme. */
export function live(update) {
  onLanguageChange(update);
  onThemeChange(update);
  update();
}

/** Set up a slider: `listener` runs at each change. Return a function that returns its number. */
export function slider(id, listener, format = String) {
  const input = byId(id);
  const show = () => {
    byId(`${id}-value`).textContent = format(Number(input.value));
    input.setAttribute("aria-valuetext", format(Number(input.value)));
  };
  input.addEventListener("input", () => {
    show();
    listener();
  });
  onLanguageChange(show);
  show();
  const value = () => Number(input.value);
  value.set = (number) => {
    input.value = number;
    show();
  };
  return value;
}

/** Set up radio buttons: `listener` runs at each change. Return a function that returns the chosen value. */
export function choice(name, listener) {
  for (const each of document.getElementsByName(name)) each.addEventListener("change", listener);
  return () => document.querySelector(`input[name="${name}"]:checked`).value;
}

/** Set up a select element: `listener` runs at each change. Return a function that returns the chosen value. */
export function selection(id, listener) {
  byId(id).addEventListener("change", listener);
  return () => byId(id).value;
}

/**
 * Fill an element with number inputs in rows. `label(row, column)` returns the name of each for screen readers. Return
 * {values(), set(numbers)}; an input without a number counts as 0, and numbers end at ±9999.
 */
export function numberGrid(holder, { rows, columns, values, label, step = 0.1, listener }) {
  const inputs = values.map((value, index) => {
    const input = make("input", { type: "number", step, value: short(value) });
    input.addEventListener("input", listener);
    input.dataset.index = index;
    return input;
  });
  const name = () =>
    inputs.forEach((input, index) =>
      input.setAttribute("aria-label", label(Math.floor(index / columns), index % columns)),
    );
  holder.classList.add("number-grid");
  holder.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 72px))`;
  holder.replaceChildren(...inputs.slice(0, rows * columns));
  onLanguageChange(name);
  name();
  return {
    values: () => inputs.map((input) => Math.min(LARGEST, Math.max(-LARGEST, Number(input.value) || 0))),
    set: (numbers) => inputs.forEach((input, index) => (input.value = short(numbers[index]))),
  };
}

/** Set up a stepper: `listener(place)` runs at each change. Return {place(), resize(count), go(place)}. */
export function stepper(id, listener) {
  const element = byId(id);
  const input = element.querySelector("input");
  const play = element.querySelector("[data-step=play]");
  let timer = null;
  const name = () => (play.textContent = t(timer ? "learn.step.pause" : "learn.step.play"));
  const count = () => Number(input.max) + 1;
  const go = (place) => {
    input.value = (place + count()) % count();
    listener(Number(input.value));
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    name();
  };
  element.addEventListener("click", ({ target }) => {
    const step = target.closest("[data-step]")?.dataset.step;
    if (!step) return;
    if (step !== "play" || timer) stop();
    else timer = setInterval(() => go(Number(input.value) + 1), STEP_MS);
    if (step !== "play") go(Number(input.value) + Number(step));
    name();
  });
  input.addEventListener("input", () => {
    stop();
    listener(Number(input.value));
  });
  onLanguageChange(name);
  name();
  return {
    place: () => Number(input.value),
    resize: (length) => (input.max = Math.max(0, length - 1)),
    go: (place) => {
      stop();
      go(place);
    },
  };
}

/** Return a number with at most `digits` decimals, without needless zeros, and with a real minus sign. */
export function shown(value, digits = 2) {
  const text = Number(value.toFixed(digits)).toLocaleString(currentLanguage(), { maximumFractionDigits: digits });
  return text === "-0" ? "0" : text.replace("-", "−");
}

/** Return a number as a factor: negative ones in parentheses. */
export function factor(value, digits = 2) {
  const text = shown(value, digits);
  return text.startsWith("−") ? `(${text})` : text;
}

/** Return a whole number with separators. */
export function whole(value) {
  return Math.round(value).toLocaleString(currentLanguage());
}

function short(value) {
  return Number(value.toFixed(3));
}
