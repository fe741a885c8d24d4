// Numbers as people read them, with their units.

/** A probability or an accuracy, 0 to 1, in percent; only what is whole is called 100 %. */
export function percent(fraction, digits = 1) {
  if (fraction === 1) return "100 %";
  const shown = (100 * fraction).toFixed(digits);
  const limit = 100 - 10 ** -digits;
  return `${Number(shown) === 100 ? `> ${limit.toFixed(digits)}` : shown} %`;
}

/** Milliseconds, to three figures at most. */
export function milliseconds(value) {
  return `${value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)} ms`;
}

/** Bytes in KiB or MiB. */
export function size(bytes) {
  return bytes < 1 << 20 ? `${(bytes / 1024).toFixed(0)} KiB` : `${(bytes / (1 << 20)).toFixed(1)} MiB`;
}

/** A large count in thousands, millions or billions. */
export function count(value) {
  for (const [unit, name] of [[1e9, "billion"], [1e6, "million"], [1e3, "thousand"]]) {
    if (value >= unit) return `${(value / unit).toPrecision(3)} ${name}`;
  }
  return String(value);
}

/** A small error, to two figures. */
export function error(value) {
  return value === 0 ? "0" : value >= 0.001 ? value.toPrecision(2) : value.toExponential(1);
}
