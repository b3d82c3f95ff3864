/**
 * pHash-64 as `imagehash` computes it: 32 × 32 greys by Lanczos, the 8 × 8 lowest frequencies, their median.
 *
 * Greys and scaling are those of Pillow 13, in its fixed-point arithmetic: L = (19595 R + 38470 G + 7471 B + 2¹⁵) >> 16,
 * and filters of 22 bits; along rows first, but along columns first where a picture is about twice as high as wide. Rows
 * are scaled as they come, so the picture need not be kept.
 *
 * A bit is set where a frequency lies above the median of the 64, the mean of the two middle ones. Where many are
 * exactly equal, as in a chessboard, the last digit of a cosine decides, and programs may differ.
 */

const SIDE = 32;
const FREQUENCIES = 8;
const PRECISION = 22;
const HALF = 1 << (PRECISION - 1);
const LOBES = 3;

/** @typedef {{first: number, weights: Int32Array}} Filter */

/** Scales rows of RGBA to 32 × 32 greys as they come. */
export class Thumbnail {
  /** @param {number} width  @param {number} height */
  constructor(width, height) {
    this.grey = new Uint8Array(width);
    const isTall = height > SIDE && height > 2 * width - SIDE;
    this.scaler = isTall ? new ColumnsFirst(width, height) : new RowsFirst(width, height);
  }

  /** Take row `y`, which begins at `from`. @param {Uint8ClampedArray} rgba  @param {number} from  @param {number} y */
  add(rgba, from, y) {
    const { grey } = this;
    for (let x = 0, at = from; x < grey.length; x++, at += 4) {
      grey[x] = (rgba[at] * 19595 + rgba[at + 1] * 38470 + rgba[at + 2] * 7471 + 0x8000) >> 16;
    }
    this.scaler.add(grey, y);
  }

  /** The 8 bytes of the hash, once every row was taken. @returns {Uint8Array} */
  hash() {
    return bitsOf(lowest(this.scaler.greys()));
  }
}

class RowsFirst {
  constructor(width, height) {
    this.across = filtersFor(width);
    this.down = filtersFor(height);
    this.narrow = new Uint8Array(SIDE * height);
  }

  add(grey, y) {
    for (let x = 0; x < SIDE; x++) this.narrow[y * SIDE + x] = filtered(grey, this.across[x], 0, 1);
  }

  /** Row after row, 0–255. @returns {Float64Array} */
  greys() {
    return grid((x, y) => filtered(this.narrow, this.down[y], x, SIDE));
  }
}

class ColumnsFirst {
  constructor(width, height) {
    this.across = filtersFor(width);
    this.down = filtersFor(height);
    this.sums = Array.from({ length: SIDE }, () => new Int32Array(width).fill(HALF));
  }

  add(grey, y) {
    this.down.forEach(({ first, weights }, place) => {
      const weight = weights[y - first];
      if (weight) addWeighted(this.sums[place], grey, weight);
    });
  }

  /** Row after row, 0–255. @returns {Float64Array} */
  greys() {
    const short = this.sums.map((sums) => Uint8Array.from(sums, clipped));
    return grid((x, y) => filtered(short[y], this.across[x], 0, 1));
  }
}

function grid(value) {
  return Float64Array.from({ length: SIDE * SIDE }, (_, at) => value(at % SIDE, Math.floor(at / SIDE)));
}

function addWeighted(sums, grey, weight) {
  for (let x = 0; x < grey.length; x++) sums[x] += Math.imul(grey[x], weight);
}

function clipped(sum) {
  return Math.max(0, Math.min(255, sum >> PRECISION));
}

/** @param {Uint8Array} values  @param {Filter} filter  @param {number} start  @param {number} step */
function filtered(values, filter, start, step) {
  const { first, weights } = filter;
  let sum = HALF;
  for (let k = 0, at = start + first * step; k < weights.length; k++, at += step) {
    sum = (sum + Math.imul(values[at], weights[k])) | 0;
  }
  return clipped(sum);
}

/** The weights of each of the 32 places along a side of `size`; a side of 32 stays as it is. @param {number} size  @returns {Filter[]} */
function filtersFor(size) {
  if (size === SIDE) {
    return Array.from({ length: SIDE }, (_, first) => ({ first, weights: Int32Array.of(1 << PRECISION) }));
  }
  const scale = size / SIDE;
  const stretch = Math.max(scale, 1);
  const support = LOBES * stretch;
  return Array.from({ length: SIDE }, (_, place) => {
    const centre = (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(size, Math.trunc(centre + support + 0.5));
    const weights = Array.from({ length: last - first }, (__, k) => lanczos((k + first - centre + 0.5) * (1 / stretch)));
    const sum = weights.reduce((before, one) => before + one, 0);
    return { first, weights: Int32Array.from(weights, (one) => fixed(sum === 0 ? one : one / sum)) };
  });
}

function fixed(weight) {
  return Math.trunc((weight < 0 ? -0.5 : 0.5) + weight * (1 << PRECISION));
}

function lanczos(x) {
  return x >= -LOBES && x < LOBES ? sinc(x) * sinc(x / LOBES) : 0;
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}

const COSINES = Array.from({ length: FREQUENCIES }, (_, k) =>
  Float64Array.from({ length: SIDE }, (__, at) => 2 * Math.cos((Math.PI * k * (2 * at + 1)) / (2 * SIDE))),
);

/** The 8 × 8 lowest frequencies of 32 × 32 greys, columns first. @param {Float64Array} greys */
function lowest(greys) {
  const out = new Float64Array(FREQUENCIES * FREQUENCIES);
  for (let down = 0; down < FREQUENCIES; down++) {
    const row = new Float64Array(SIDE);
    for (let x = 0; x < SIDE; x++) {
      for (let y = 0; y < SIDE; y++) row[x] += COSINES[down][y] * greys[y * SIDE + x];
    }
    for (let across = 0; across < FREQUENCIES; across++) {
      out[down * FREQUENCIES + across] = row.reduce((sum, value, x) => sum + COSINES[across][x] * value, 0);
    }
  }
  return out;
}

function bitsOf(values) {
  const sorted = values.slice().sort();
  const median = (sorted[values.length / 2 - 1] + sorted[values.length / 2]) / 2;
  const bits = new Uint8Array(values.length / 8);
  values.forEach((value, at) => {
    if (value > median) bits[at >> 3] |= 0x80 >> (at & 7);
  });
  return bits;
}
