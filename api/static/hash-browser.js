/**
 * Pixels as the browser decodes them, without its colour management.
 *
 * A canvas keeps colours multiplied by their transparency, which loses digits; so a picture is laid on its ground by the
 * canvas, and read where all is opaque. Rows are read in stripes from a canvas as large as a stripe.
 */

import { HashError } from "./hash-errors.js";
import { typeOf } from "./hash-header.js";

/** @typedef {import("./hash-planes.js").Pixels} Pixels */

const AS_IN_THE_FILE = { colorSpaceConversion: "none", premultiplyAlpha: "none" };

/**
 * Decode the first frame. Call `close` when done.
 * @param {Uint8Array} bytes  @param {import("./hash-header.js").Header} header
 * @returns {Promise<Pixels & {close: () => void}>}
 */
export async function browserPixels(bytes, header) {
  const bitmap = await decoded(new Blob([bytes], { type: typeOf(header.format) }));
  const { width, height } = bitmap;
  let canvas = null;
  const read = (y, rows, ground) => {
    // Reads one after the other ask for the same number of rows, but for the last.
    if (canvas === null || canvas.height < rows) canvas = new OffscreenCanvas(width, rows);
    const context = contextOf(canvas);
    context.clearRect(0, 0, width, rows);
    if (ground !== null) {
      context.fillStyle = `rgb(${ground} ${ground} ${ground})`;
      context.fillRect(0, 0, width, rows);
    }
    context.drawImage(bitmap, 0, y, width, rows, 0, 0, width, rows);
    return context.getImageData(0, 0, width, rows).data;
  };
  return { width, height, read, close: () => bitmap.close() };
}

async function decoded(blob) {
  try {
    return await createImageBitmap(blob, AS_IN_THE_FILE);
  } catch (error) {
    throw new HashError("damaged", `the picture is damaged or cut off: ${error.message}`);
  }
}

function contextOf(canvas) {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (context === null) throw new HashError("no-memory", "the browser gave no canvas");
  context.imageSmoothingEnabled = false;
  return context;
}
