/**
 * Can this browser's pixels be trusted?
 *
 * Some browsers add noise to what scripts read from a canvas, so that people cannot be told apart by it; the hash of noise
 * is another picture's. So two pictures whose pixels are known go the way of all others: one that is made here, whose
 * pixels must come back to the bit, and a JPEG with an EXIF orientation, whose hash may differ by a few bits.
 */

import { browserPixels } from "./hash-browser.js";
import { hashPicture } from "./hash-picture.js";
import { PICTURE, PICTURE_HASH } from "./hash-testpicture.js";

/** @typedef {import("./hash-picture.js").Decoder} Decoder */

const WIDTH = 160;
const HEIGHT = 120;
const HEADER_BYTES = 54;
const MOST_BITS = 4;

/** The decoder whose pixels are the picture's: the browser's, else ours; null when neither is. @returns {Promise<Decoder | null>} */
export async function trustedDecoder() {
  for (const [decoder, test] of TESTS) {
    try {
      if (await test()) return decoder;
    } catch {
      // A browser without a part that is needed here has failed the test; the next decoder is tried.
    }
  }
  return null;
}

/** @type {[Decoder, () => Promise<boolean>][]} */
const TESTS = [
  ["browser", async () => (await comesBackUnchanged()) && hashesAsKnown("browser")],
  ["own", () => hashesAsKnown("own")],
];

async function comesBackUnchanged() {
  const bmp = madeBmp();
  const pixels = await browserPixels(bmp, { format: "BMP", width: WIDTH, height: HEIGHT });
  const rgba = pixels.read(0, HEIGHT, null);
  pixels.close();
  return rgba.length === WIDTH * HEIGHT * 4 && rgba.every((value, at) => value === madeValue(at >> 2, at & 3));
}

async function hashesAsKnown(decoder) {
  const { asked, width, height } = await hashPicture(new Blob([bytesOf(PICTURE)]), ["asked"], decoder);
  const bits = bitsApart(asked.pdq?.full ?? "", PICTURE_HASH.full);
  return width === PICTURE_HASH.width && height === PICTURE_HASH.height && bits <= MOST_BITS;
}

/** Red, green and blue of pixel `place`, opaque. @param {number} place  @param {number} channel */
function madeValue(place, channel) {
  if (channel === 3) return 255;
  const [x, y] = [place % WIDTH, Math.floor(place / WIDTH)];
  return ((x + 1) * (y + 3) * (channel + 1) + 7 * x + 5) % 256;
}

/** The made picture as an uncompressed BMP, whose rows run upwards and whose channels are blue, green, red. */
function madeBmp() {
  const bytes = new Uint8Array(HEADER_BYTES + WIDTH * HEIGHT * 3);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 0x424d);
  view.setUint32(2, bytes.length, true);
  view.setUint32(10, HEADER_BYTES, true);
  view.setUint32(14, 40, true);
  view.setInt32(18, WIDTH, true);
  view.setInt32(22, HEIGHT, true);
  view.setUint16(26, 1, true);
  view.setUint16(28, 24, true);
  for (let at = HEADER_BYTES, place = 0; place < WIDTH * HEIGHT; place++) {
    const upwards = (HEIGHT - 1 - Math.floor(place / WIDTH)) * WIDTH + (place % WIDTH);
    for (const channel of [2, 1, 0]) bytes[at++] = madeValue(upwards, channel);
  }
  return bytes;
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

function bitsApart(one, other) {
  if (one.length !== other.length) return Infinity;
  let bits = 0;
  for (let at = 0; at < one.length; at++) {
    for (let both = parseInt(one[at], 16) ^ parseInt(other[at], 16); both; both &= both - 1) bits++;
  }
  return bits;
}
