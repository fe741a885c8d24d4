// Formats numbers for display, with their units.

/** Format a fraction from 0 to 1 as a percentage. Only exactly 1 becomes 100 %. */
export function percent(fraction, digits = 1) {
  if (fraction === 1) return "100 %";
  const text = (100 * fraction).toFixed(digits);
  const limit = 100 - 10 ** -digits;
  return `${Number(text) === 100 ? `> ${limit.toFixed(digits)}` : text} %`;
}

/** Format milliseconds, with up to two decimals. */
export function milliseconds(value) {
  return `${value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)} ms`;
}

/** Format bytes in KiB or MiB. */
export function size(bytes) {
  return bytes < 1 << 20 ? `${(bytes / 1024).toFixed(0)} KiB` : `${(bytes / (1 << 20)).toFixed(1)} MiB`;
}

/** Format a count with three significant digits and the units of a language: `417 thousand`, `41.7万`. */
export function count(value, language = "en") {
  return value.toLocaleString(language, { notation: "compact", compactDisplay: "long", maximumSignificantDigits: 3 });
}

/** Format a small error with two significant digits. */
export function error(value) {
  return value === 0 ? "0" : value >= 0.001 ? value.toPrecision(2) : value.toExponential(1);
}
