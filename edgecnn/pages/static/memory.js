// Access to the browser's storage. The page also works if the browser blocks storage.

/** Return a value from `localStorage` or `sessionStorage`, or null. */
export function load(storage, name) {
  try {
    return window[storage].getItem(name);
  } catch {
    return null;
  }
}

/** Save a value in `localStorage`, or in `sessionStorage` for this tab only. */
export function save(storage, name, value) {
  try {
    window[storage].setItem(name, value);
  } catch {
    // The browser blocks storage. The value is lost when the page closes.
  }
}
