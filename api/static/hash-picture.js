/**
 * From a file to its fingerprint: refuse, read, SHA-256, decode, hash, in this order.
 *
 * The file is read once, into memory; nothing of it is sent anywhere.
 */

import { browserPixels } from "./hash-browser.js";
import { HashError } from "./hash-errors.js";
import { asked, commonOf, hex, registered } from "./hash-fingerprint.js";
import { HEAD_BYTES, MAX_BYTES, readHeader } from "./hash-header.js";
import { orientationOf, withoutOrientation } from "./hash-orientation.js";
import { groundedPlanes, opaquePlanes } from "./hash-planes.js";
import { refuseCutOff } from "./hash-whole.js";

/** @typedef {import("./hash-fingerprint.js").Wire} Wire */
/** Which fingerprints are made. @typedef {"registered" | "asked"} Kind */
/** Which decoder gives the pixels: the browser's, or ours. @typedef {"browser" | "own"} Decoder */
/**
 * `width` and `height` are upright, in pixels.
 * @typedef {{sha256: string, format: string, width: number, height: number, registered?: Wire, asked?: Wire}} Hashed
 */

const MAKERS = { registered, asked };

/**
 * Look at the beginning of a file, before it is read: refuses what is not hashed. Null when the size stands further in.
 * @param {Blob} file  @returns {Promise<import("./hash-header.js").Header | null>}
 */
export async function peek(file) {
  const head = new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer());
  const header = readHeader(head);
  if (file.size > MAX_BYTES) {
    const size = Math.ceil(file.size / 2 ** 20);
    throw new HashError("too-large", `${size} MiB; files above ${MAX_BYTES / 2 ** 20} MiB are not read`);
  }
  return header;
}

/**
 * Hash a picture.
 * @param {Blob} file  @param {Kind[]} kinds  @param {Decoder} decoder  @returns {Promise<Hashed>}
 */
export async function hashPicture(file, kinds, decoder) {
  await peek(file);
  const bytes = new Uint8Array(await file.arrayBuffer());
  const header = readHeader(bytes);
  if (header === null) throw new HashError("damaged", "the picture is cut off before its size");
  refuseCutOff(bytes, header.format);
  const sha256 = await sha256Of(bytes);
  const planes = await planesIn(bytes, header, decoder);
  const common = commonOf(planes.white);
  const made = kinds.map((kind) => [kind, MAKERS[kind](planes, common)]);
  const { width, height } = planes.white;
  return { sha256, format: header.format, width, height, ...Object.fromEntries(made) };
}

/**
 * Browsers differ where samples have 16 bits and where pixels are not opaque, by up to 16 bits of a hash; there our own
 * decoders are used, which give what the command line gets. Ours read neither AVIF nor animated WebP, so these are refused
 * where they are transparent.
 * @returns {Promise<import("./hash-fingerprint.js").Planes>}
 */
async function planesIn(bytes, header, decoder) {
  const lying = withoutOrientation(bytes, header.format);
  const orientation = orientationOf(bytes, header.format);
  if (decoder === "browser" && header.depth !== 16) {
    const make = ["GIF", "BMP"].includes(header.format) ? planesOf : opaquePlanes;
    const planes = await usedFor(header, await browserPixels(lying, header), (pixels) => make(pixels, orientation));
    if (planes !== null) return planes;
    refuseTransparent(header);
  }
  return usedFor(header, await ownPixels(lying, header), (pixels) => planesOf(pixels, orientation));
}

function refuseTransparent({ format, animated }) {
  if (format !== "AVIF" && !animated) return;
  const kind = animated ? "animated WebP" : "AVIF";
  throw new HashError("not-read-here", `${kind} with transparency is not hashed in the browser`);
}

function planesOf(pixels, orientation) {
  return opaquePlanes(pixels, orientation) ?? groundedPlanes(pixels, orientation);
}

async function usedFor({ width, height }, pixels, make) {
  try {
    return make(pixels);
  } catch (error) {
    if (error instanceof RangeError) throw new HashError("no-memory", `no memory for ${width} × ${height} pixels`);
    throw error;
  } finally {
    pixels.close();
  }
}

/** The decoders of our own weigh much, so they are fetched only where they are needed. */
async function ownPixels(bytes, header) {
  const own = await import("./hash-own.js");
  return own.ownPixels(bytes, header);
}

async function sha256Of(bytes) {
  if (!globalThis.crypto?.subtle) throw new HashError("not-secure", "the browser gives no SHA-256 to this page");
  return hex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
}
