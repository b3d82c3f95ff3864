/** The pixels that the formulas of tests/vectors/pdq.json describe, RGBA and opaque. */

const FORMULAS = {
  products: (x, y, c, { seed }) => ((x + 1) * (y + 3) * (c + 1) + 7 * x + seed) % 256,
  gradient: (x, y, c, { width, height, seed }) =>
    Math.floor(((x * (2 + c) + y * (5 - c) + seed) * 255) / (7 * (width + height) + seed)),
  tiles: (x, y, c, { width, height, seed }) => {
    const tile = Math.floor((x * 12) / width) * 97 + Math.floor((y * 9) / height) * 57 + c * 31 + seed;
    return ((tile * 73) % 251) + ((x + y) % 5);
  },
  flat: (x, y, c, { seed }) => seed,
};

/** @returns {Uint8ClampedArray} */
export function madePixels(formula, width, height, seed) {
  const value = formula === "lcg" ? lcg(seed) : FORMULAS[formula];
  const rgba = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at += 4) {
      for (let c = 0; c < 3; c++) rgba[at + c] = value(x, y, c, { width, height, seed });
    }
  }
  return rgba;
}

function lcg(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  };
}
