// What the browser keeps for the page: it may be set to keep nothing, and the page works all the same.

/** Return what is kept in `localStorage` or `sessionStorage`, or null. */
export function recall(storage, name) {
  try {
    return window[storage].getItem(name);
  } catch {
    return null;
  }
}

/** Keep something in `localStorage`, or in `sessionStorage` for this tab only. */
export function keep(storage, name, value) {
  try {
    window[storage].setItem(name, value);
  } catch {
    // Then it is forgotten with the page.
  }
}
