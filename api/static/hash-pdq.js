/**
 * PDQ: a 256-bit perceptual hash, equal bit for bit to registry/pdq.py on equal pixels.
 *
 * Every sum is taken in 32-bit floats and in the order of the reference; another order would change bits. A
 * store into a Float32Array rounds what is stored, which for one +, −, × or ÷ of two 32-bit numbers gives
 * what a 32-bit operation gives; `Math.fround` does the same for sums that are kept in variables.
 *
 * The first blur flows into the second one row after the other, so beside the luma only some rows are held.
 */

/**
 * Luma of a picture, or of a window in it: row y begins at `offset + y * stride`.
 * @typedef {{luma: Float32Array, width: number, height: number, stride: number, offset: number}} View
 */

/** @typedef {{bits: Uint8Array, mirrored: Uint8Array, quality: number}} PdqHash  32 bytes, 32 bytes, 0–100 */

export const HASH_BYTES = 32;
/** Below this many pixels a side there is nothing to hash: quality 0, all bits 0. */
export const MIN_SIDE = 5;

const GRID = 64;
const COEFFICIENTS = 16;
const { fround } = Math;

/** Hash luma of 0–255, and its mirror image. @param {View} view  @returns {PdqHash} */
export function pdq(view) {
  if (Math.min(view.width, view.height) < MIN_SIDE) {
    return { bits: new Uint8Array(HASH_BYTES), mirrored: new Uint8Array(HASH_BYTES), quality: 0 };
  }
  const grid = view.width === GRID && view.height === GRID ? copied(view) : sampled(view);
  const coefficients = dct(grid);
  const flipped = coefficients.map((value, at) => (at % 2 === 0 ? -value : value));
  return { bits: bitsOf(coefficients), mirrored: bitsOf(flipped), quality: qualityOf(grid) };
}

/** @param {View} view */
function copied(view) {
  const grid = new Float32Array(GRID * GRID);
  for (let row = 0; row < GRID; row++) {
    const start = view.offset + row * view.stride;
    grid.set(view.luma.subarray(start, start + GRID), row * GRID);
  }
  return grid;
}

/** Two blurring passes in both directions, then the 64 × 64 pixels nearest to the cell centres. @param {View} view */
function sampled(view) {
  const { width, height } = view;
  const alongRow = box(width);
  const alongColumn = box(height);
  const columns = centres(width);
  const narrow = new Float32Array(height * GRID);
  const blurredOnce = firstBlur(view, alongRow, alongColumn);
  const sums = new Float32Array(4 * width);
  for (let row = 0; row < height; row += 4) {
    fourSums(blurredOnce(row), 0, [0, width, 2 * width, 3 * width], alongRow, sums);
    for (let one = 0; one < Math.min(4, height - row); one++) {
      for (let at = 0; at < GRID; at++) {
        const column = columns[at];
        narrow[(row + one) * GRID + at] = sums[one * width + column] / alongRow.counts[column];
      }
    }
  }
  return boxedColumnsAt(narrow, height, alongColumn, centres(height));
}

/**
 * What a side of `size` is filtered with: how many values the box holds, how far it reaches ahead, and how many it holds
 * around each place, fewer at both ends.
 * @typedef {{size: number, window: number, lead: number, counts: Float32Array}} Box
 */

/** @param {number} size  @returns {Box} */
function box(size) {
  const window = Math.floor((size + 2 * GRID - 1) / (2 * GRID));
  const lead = Math.floor((window + 2) / 2) - 1;
  const counts = Float32Array.from({ length: size }, (_, at) => {
    const end = at + lead + 1;
    return Math.min(end, size) - Math.max(end - window, 0);
  });
  return { size, window, lead, counts };
}

/** @param {number} size */
function centres(size) {
  return Int32Array.from({ length: GRID }, (_, at) => Math.floor(((at + 0.5) * size) / GRID));
}

/**
 * Give four rows of the first blur, from the top to the bottom; they hold until the next four are asked for.
 * @param {View} view  @param {Box} alongRow  @param {Box} alongColumn  @returns {(row: number) => Float32Array}
 */
function firstBlur(view, alongRow, alongColumn) {
  const { width, height } = view;
  const { window, lead, counts } = alongColumn;
  // Rows after the first box: as many as the sum along columns still holds, and the four that come next.
  const held = Array.from({ length: window + 4 }, () => new Float32Array(width));
  const total = new Float32Array(width);
  const blurred = new Float32Array(4 * width);
  const four = new Float32Array(4 * width);
  const take = (step) => {
    if (step < height) {
      if (step % 4 === 0) boxFourRows(view, step, alongRow, four, held);
      addTo(total, held[step % held.length]);
    }
    if (step >= window) subtractFrom(total, held[(step - window) % held.length]);
  };
  let step = 0;
  return (row) => {
    for (let one = 0; one < Math.min(4, height - row); one++) {
      while (step <= row + one + lead) take(step++);
      divideBy(total, counts[row + one], blurred.subarray(one * width, (one + 1) * width));
    }
    return blurred;
  };
}

/** Filter four rows from `first` on into their places in `held`; beyond the end, the last one. */
function boxFourRows(view, first, alongRow, four, held) {
  const { width, height } = view;
  const starts = [0, 1, 2, 3].map((one) => Math.min(first + one, height - 1) * view.stride);
  fourSums(view.luma, view.offset, starts, alongRow, four);
  for (let one = 0; one < 4; one++) {
    divideEach(four.subarray(one * width, (one + 1) * width), alongRow.counts, held[(first + one) % held.length]);
  }
}

/**
 * Sum the box around each value of four rows side by side: each sum waits for its own last step, not for those of
 * others. Values enter one by one, then each further one enters and the oldest leaves, then they only leave.
 * @param {Float32Array} values  @param {number} offset  @param {number[]} starts  @param {Box} box  @param {Float32Array} out
 */
function fourSums(values, offset, starts, { size, window, lead }, out) {
  const [a, b, c, d] = starts.map((start) => offset + start);
  const [toA, toB, toC, toD] = [0, size, 2 * size, 3 * size];
  let sumA = fround(0);
  let sumB = fround(0);
  let sumC = fround(0);
  let sumD = fround(0);
  for (let at = 0, to = -lead; to < size; at++, to++) {
    if (at < size) {
      sumA = fround(sumA + values[a + at]);
      sumB = fround(sumB + values[b + at]);
      sumC = fround(sumC + values[c + at]);
      sumD = fround(sumD + values[d + at]);
    }
    if (at >= window) {
      const old = at - window;
      sumA = fround(sumA - values[a + old]);
      sumB = fround(sumB - values[b + old]);
      sumC = fround(sumC - values[c + old]);
      sumD = fround(sumD - values[d + old]);
    }
    if (to >= 0) {
      out[toA + to] = sumA;
      out[toB + to] = sumB;
      out[toC + to] = sumC;
      out[toD + to] = sumD;
    }
  }
}

/** Filter 64 columns of `height` values; return `rows` of the result. */
function boxedColumnsAt(values, height, alongColumn, rows) {
  const { window, lead, counts } = alongColumn;
  const out = new Float32Array(GRID * GRID);
  const total = new Float32Array(GRID);
  let done = 0;
  for (let step = 0; done < GRID; step++) {
    if (step < height) addTo(total, values.subarray(step * GRID, (step + 1) * GRID));
    if (step >= window) subtractFrom(total, values.subarray((step - window) * GRID, (step - window + 1) * GRID));
    for (; done < GRID && rows[done] === step - lead; done++) {
      divideBy(total, counts[rows[done]], out.subarray(done * GRID, (done + 1) * GRID));
    }
  }
  return out;
}

function addTo(total, values) {
  for (let at = 0; at < total.length; at++) total[at] += values[at];
}

function subtractFrom(total, values) {
  for (let at = 0; at < total.length; at++) total[at] -= values[at];
}

function divideBy(values, count, out) {
  for (let at = 0; at < values.length; at++) out[at] = values[at] / count;
}

function divideEach(values, counts, out) {
  for (let at = 0; at < values.length; at++) out[at] = values[at] / counts[at];
}

function dctMatrix() {
  const scale = fround(Math.sqrt(2 / GRID));
  const matrix = new Float32Array(COEFFICIENTS * GRID);
  for (let k = 0; k < COEFFICIENTS; k++) {
    for (let at = 0; at < GRID; at++) {
      matrix[k * GRID + at] = scale * Math.cos((Math.PI / 2 / GRID) * (k + 1) * (2 * at + 1));
    }
  }
  return matrix;
}

const DCT = dctMatrix();

/** The 16 × 16 coefficients 1–16 of both axes, each sum taken in index order. @param {Float32Array} grid */
function dct(grid) {
  const partial = new Float32Array(COEFFICIENTS * GRID);
  for (let row = 0; row < COEFFICIENTS; row++) {
    for (let column = 0; column < GRID; column++) {
      let sum = fround(0);
      for (let k = 0; k < GRID; k++) sum = fround(sum + fround(DCT[row * GRID + k] * grid[k * GRID + column]));
      partial[row * GRID + column] = sum;
    }
  }
  const out = new Float32Array(COEFFICIENTS * COEFFICIENTS);
  for (let row = 0; row < COEFFICIENTS; row++) {
    for (let column = 0; column < COEFFICIENTS; column++) {
      let sum = fround(0);
      for (let k = 0; k < GRID; k++) sum = fround(sum + fround(partial[row * GRID + k] * DCT[column * GRID + k]));
      out[row * COEFFICIENTS + column] = sum;
    }
  }
  return out;
}

/** A bit where a coefficient lies above the median, the 128th of 256; the last coefficient comes first. */
function bitsOf(coefficients) {
  const median = coefficients.slice().sort()[coefficients.length / 2 - 1];
  const bits = new Uint8Array(HASH_BYTES);
  coefficients.forEach((value, at) => {
    const place = coefficients.length - 1 - at;
    if (value > median) bits[place >> 3] |= 0x80 >> (place & 7);
  });
  return bits;
}

/** The visible gradients of the grid; 100 is the most. */
function qualityOf(grid) {
  let total = 0;
  for (let at = 0; at < grid.length; at++) {
    if (at >= GRID) total += gradient(grid[at], grid[at - GRID]);
    if (at % GRID !== 0) total += gradient(grid[at], grid[at - 1]);
  }
  return Math.min(100, Math.floor(total / 90));
}

function gradient(value, before) {
  return Math.abs(Math.trunc(fround(fround(fround(before - value) * 100) / 255)));
}
