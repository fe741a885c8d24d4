// The colours of values, in light and dark mode.

import { isDark } from "./theme.js";

// The colours of -1, 0 and 1, and between: cool is negative, warm is positive.
const STOPS = {
  light: [
    [14, 32, 92],
    [46, 104, 196],
    [165, 203, 240],
    [248, 248, 246],
    [253, 205, 136],
    [230, 104, 34],
    [112, 26, 8],
  ],
  dark: [
    [222, 236, 255],
    [96, 156, 242],
    [30, 66, 140],
    [27, 31, 39],
    [140, 54, 18],
    [243, 138, 48],
    [255, 238, 196],
  ],
};

/** Return the colour [red, green, blue] of a share of the largest absolute value, from -1 to 1. */
export function colorOf(share, scheme = isDark() ? "dark" : "light") {
  const stops = STOPS[scheme];
  const place = ((Math.min(Math.max(share, -1), 1) + 1) / 2) * (stops.length - 1);
  const index = Math.min(Math.floor(place), stops.length - 2);
  return stops[index].map((from, part) => Math.round(from + (place - index) * (stops[index + 1][part] - from)));
}

/** Return the colour of a share for CSS, which follows the theme. */
export function cssColor(share, opacity = 1) {
  return inBoth((scheme) => `rgb(${colorOf(share, scheme).join(" ")} / ${opacity})`);
}

/** Return black or white for CSS: the one that is readable on the colour of a share. */
export function cssTextColor(share) {
  return inBoth((scheme) => (luminance(colorOf(share, scheme)) > 0.18 ? "#000" : "#fff"));
}

function inBoth(colorFor) {
  return `light-dark(${colorFor("light")}, ${colorFor("dark")})`;
}

/** Return the relative luminance of a colour (WCAG 2.2). */
function luminance(color) {
  const [red, green, blue] = color.map((part) =>
    part / 255 <= 0.04045 ? part / 3294.6 : ((part / 255 + 0.055) / 1.055) ** 2.4,
  );
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
