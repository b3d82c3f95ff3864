/**
 * From decoded pixels to what is hashed: upright, transparency laid on white and on black, luma.
 *
 * Pixels come in stripes, so that beside the luma no second copy of the picture is held. Only a picture that must be
 * turned is read whole.
 */

import { Thumbnail } from "./hash-phash.js";

/** @typedef {import("./hash-pdq.js").View} View */
/** @typedef {import("./hash-fingerprint.js").Planes} Planes */

/**
 * A decoded picture, as it lies in the file. `read(y, rows, ground)` gives `rows` rows from `y` on as RGBA, laid on the
 * grey `ground`, or as they are where that is null.
 * @typedef {{width: number, height: number, read: (y: number, rows: number, ground: number | null) => Uint8ClampedArray}} Pixels
 */

const STRIPE_PIXELS = 1 << 20;
const WHITE = 255;
const BLACK = 0;

/**
 * Make the planes of a picture without transparency, turned as EXIF orientation 1–8 says; null when it has any.
 * @param {Pixels} pixels  @param {number} orientation  @returns {Planes | null}
 */
export function opaquePlanes(pixels, orientation) {
  const all = layer(upright(pixels, orientation), null, true);
  return all && { white: all.view, black: null, phash: all.thumbnail.hash() };
}

/** Make the planes of a picture with transparency. @param {Pixels} pixels  @param {number} orientation  @returns {Planes} */
export function groundedPlanes(pixels, orientation) {
  const turned = upright(pixels, orientation);
  const white = layer(turned, WHITE, true);
  return { white: white.view, black: layer(turned, BLACK, false).view, phash: white.thumbnail.hash() };
}

/** Read all stripes on one ground; null as soon as a pixel turns out not to be opaque where there is no ground. */
function layer(pixels, ground, withThumbnail) {
  const { width, height } = pixels;
  const luma = new Float32Array(width * height);
  const thumbnail = withThumbnail ? new Thumbnail(width, height) : null;
  const rows = Math.max(1, Math.floor(STRIPE_PIXELS / width));
  for (let y = 0; y < height; y += rows) {
    const some = Math.min(rows, height - y);
    const rgba = pixels.read(y, some, ground);
    if (ground === null && !isOpaque(rgba)) return null;
    toLuma(rgba, luma, y * width);
    if (thumbnail) for (let row = 0; row < some; row++) thumbnail.add(rgba, row * width * 4, y + row);
  }
  return { view: { luma, width, height, stride: width, offset: 0 }, thumbnail };
}

function isOpaque(rgba) {
  for (let at = 3; at < rgba.length; at += 4) if (rgba[at] !== 255) return false;
  return true;
}

/** ITU-R BT.601, in the order of registry/pdq.py. @param {Uint8ClampedArray} rgba  @param {Float32Array} luma  @param {number} start */
function toLuma(rgba, luma, start) {
  for (let at = 0, to = start; at < rgba.length; at += 4, to++) {
    luma[to] = rgba[at] * 0.299 + rgba[at + 1] * 0.587 + rgba[at + 2] * 0.114;
  }
}

/**
 * For each orientation: whether rows and columns change places, then whether x, then whether y runs backwards in the
 * picture as it lies.
 */
const TURNS = {
  2: [false, true, false],
  3: [false, true, true],
  4: [false, false, true],
  5: [true, false, false],
  6: [true, false, true],
  7: [true, true, true],
  8: [true, true, false],
};

/** @param {Pixels} pixels  @param {number} orientation  @returns {Pixels} */
function upright(pixels, orientation) {
  if (orientation === 1) return pixels;
  const [swapped, backX, backY] = TURNS[orientation];
  const width = swapped ? pixels.height : pixels.width;
  const height = swapped ? pixels.width : pixels.height;
  const read = (y, rows, ground) => {
    const lying = wholeOf(pixels, ground);
    const out = new Uint32Array(width * rows);
    for (let row = 0; row < rows; row++) {
      for (let x = 0; x < width; x++) {
        const [along, down] = swapped ? [y + row, x] : [x, y + row];
        const fromX = backX ? pixels.width - 1 - along : along;
        const fromY = backY ? pixels.height - 1 - down : down;
        out[row * width + x] = lying[fromY * pixels.width + fromX];
      }
    }
    return new Uint8ClampedArray(out.buffer);
  };
  return { width, height, read };
}

/** @type {WeakMap<Pixels, {ground: number | null, words: Uint32Array}>} */
const wholes = new WeakMap();

/** The whole picture on a ground, a word a pixel; read once for all its stripes. */
function wholeOf(pixels, ground) {
  let found = wholes.get(pixels);
  if (found === undefined || found.ground !== ground) {
    const rgba = pixels.read(0, pixels.height, ground);
    found = { ground, words: new Uint32Array(rgba.buffer, rgba.byteOffset, rgba.length / 4) };
    wholes.set(pixels, found);
  }
  return found.words;
}
