/**
 * The fingerprint of a picture: what is registered of it and what is asked about it, as registry/fingerprint.py.
 *
 * Registered are up to five windows: the whole, the whole without a plain border, three squares along the longer
 * side; the same on black for a picture with transparency. Asked are the whole and the whole without its border, each
 * with its mirror image. Windows too plain to tell pictures apart are left out; of equal hashes the first is kept.
 */

import { pdq } from "./hash-pdq.js";

/** @typedef {import("./hash-pdq.js").View} View */
/** @typedef {import("./hash-pdq.js").PdqHash} PdqHash */
/** What is hashed: luma on white, on black where a pixel is not opaque, and the pHash. @typedef {{white: View, black: View | null, phash: Uint8Array}} Planes */
/** The whole, and the whole without a plain border. @typedef {{whole: PdqHash, trimmed: PdqHash}} Common */
/** The form of docs/reference/fingerprint.md. @typedef {{v: 1, quality: number, phash: string, pdq?: Record<string, string>}} Wire */

const VERSION = 1;
const MIN_QUALITY = 50;
const MIN_BITS = 112;
const BORDER_TOLERANCE = 10;
const BORDER_SHARE = 0.98;
const MIN_TRIMMED = 64;
const SQUARES = ["start", "middle", "end"];

/** The hashes that both fingerprints begin with. @param {View} view  @returns {Common} */
export function commonOf(view) {
  const whole = pdq(view);
  const inner = withoutBorder(view);
  return { whole, trimmed: inner === null ? whole : pdq(inner) };
}

/** What is registered. @param {Planes} planes  @param {Common} [common]  @returns {Wire} */
export function registered(planes, common = commonOf(planes.white)) {
  const { whole } = common;
  const hashes = windows(planes.white, common, "");
  if (planes.black !== null) hashes.push(...windows(planes.black, commonOf(planes.black), "_black"));
  return wire(planes, whole.quality, hashes);
}

/** What is asked. @param {Planes} planes  @param {Common} [common]  @returns {Wire} */
export function asked(planes, { whole, trimmed } = commonOf(planes.white)) {
  const forms = [
    ["full", "mirror", whole],
    ["trim", "trim_mirror", trimmed],
  ];
  const hashes = [];
  for (const [form, mirror, found] of forms) {
    if (hasBits(found.bits) && found.quality >= Math.min(whole.quality, MIN_QUALITY)) {
      hashes.push([form, found.bits], [mirror, found.mirrored]);
    }
  }
  return wire(planes, whole.quality, hashes);
}

/** @param {View} view  @param {Common} common  @param {string} suffix  @returns {[string, Uint8Array][]} */
function windows(view, { whole, trimmed }, suffix) {
  if (!tellsApart(whole)) return [];
  const found = [
    ["full", whole],
    ["trim", trimmed],
    ...squares(view).map((square, at) => [SQUARES[at], pdq(square)]),
  ];
  return found.filter(([, hash]) => tellsApart(hash)).map(([name, hash]) => [name + suffix, hash.bits]);
}

/** Three squares along the longer side; none of a square. @param {View} view  @returns {View[]} */
function squares(view) {
  const { width, height } = view;
  const side = Math.min(width, height);
  const spare = Math.max(width, height) - side;
  if (spare === 0) return [];
  return [0, Math.floor(spare / 2), spare].map((start) =>
    width > height ? part(view, 0, height, start, start + side) : part(view, start, start + side, 0, width),
  );
}

/** @param {View} view  @returns {View} */
function part(view, top, bottom, left, right) {
  const offset = view.offset + top * view.stride + left;
  return { luma: view.luma, width: right - left, height: bottom - top, stride: view.stride, offset };
}

/**
 * Find the picture inside a plain border; null when there is none.
 *
 * A line belongs to the border while at least 98 % of it lies within 10 grey levels of the outermost line's median.
 * A remainder below a third of a side, or below 64 pixels, counts as no border.
 * @param {View} view  @returns {View | null}
 */
export function withoutBorder(view) {
  const { width, height, stride } = view;
  const top = border(view, view.offset, stride, height, 1, width);
  const bottom = border(view, view.offset + (height - 1) * stride, -stride, height, 1, width);
  const inner = Math.max(0, height - top - bottom);
  const from = view.offset + top * stride;
  const left = inner && border(view, from, 1, width, stride, inner);
  const right = inner && border(view, from + width - 1, -1, width, stride, inner);
  if (!(top || bottom || left || right)) return null;
  if (inner < Math.max(MIN_TRIMMED, height / 3)) return null;
  if (width - left - right < Math.max(MIN_TRIMMED, width / 3)) return null;
  return part(view, top, height - bottom, left, width - right);
}

/** How many of `lines` from `from` on are border, `next` apart; a line has `length` values `step` apart. */
function border(view, from, next, lines, step, length) {
  const ground = medianOf(view.luma, from, step, length);
  const limit = Math.floor((2 * lines) / 3) + 1;
  for (let line = 0; line < Math.min(limit, lines); line++) {
    let near = 0;
    for (let at = 0, place = from + line * next; at < length; at++, place += step) {
      if (Math.abs(Math.fround(view.luma[place] - ground)) <= BORDER_TOLERANCE) near++;
    }
    if (near / length < BORDER_SHARE) return line;
  }
  return Math.min(limit, lines);
}

function medianOf(luma, from, step, length) {
  const values = Float32Array.from({ length }, (_, at) => luma[from + at * step]).sort();
  const middle = length >> 1;
  return length % 2 ? values[middle] : Math.fround(Math.fround(values[middle - 1] + values[middle]) / 2);
}

/** @param {PdqHash} hash */
function tellsApart(hash) {
  return hash.quality >= MIN_QUALITY && hasBits(hash.bits);
}

function hasBits(bits) {
  let set = 0;
  for (let byte of bits) for (; byte; byte &= byte - 1) set++;
  return set >= MIN_BITS;
}

/** @param {Planes} planes  @param {number} quality  @param {[string, Uint8Array][]} hashes  @returns {Wire} */
function wire(planes, quality, hashes) {
  const kept = new Map();
  for (const [name, bits] of hashes) {
    const text = hex(bits);
    if (![...kept.values()].includes(text)) kept.set(name, text);
  }
  const common = { v: VERSION, quality, phash: hex(planes.phash) };
  return kept.size ? { ...common, pdq: Object.fromEntries(kept) } : common;
}

/** @param {Uint8Array} bytes */
export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
