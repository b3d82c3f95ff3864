/**
 * Whether a file is whole. Browsers show what they have of a picture that is cut off, with the rest in grey; the hash of
 * that would stand for another picture, so it is refused, as the command line refuses it.
 */

import { HashError } from "./hash-errors.js";
import { jpegSegments, latin } from "./hash-header.js";

/** Throw a HashError (damaged) for a file that ends too early. @param {Uint8Array} bytes  @param {string} format */
export function refuseCutOff(bytes, format) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!(ENDS[format]?.(view) ?? true)) throw new HashError("damaged", `the ${format} file is cut off`);
}

const ENDS = { JPEG: endsAsJpeg, PNG: endsAsPng, WEBP: endsAsWebp };

/** An end-of-image marker after the scan began. */
function endsAsJpeg(view) {
  let scan = view.byteLength;
  for (const { marker, end } of jpegSegments(view)) if (marker === 0xda) scan = end;
  for (let at = view.byteLength - 2; at >= scan; at--) if (view.getUint16(at) === 0xffd9) return true;
  return false;
}

/** Chunks one after the other as far as the last. */
function endsAsPng(view) {
  for (let at = 8; at + 12 <= view.byteLength; at += 12 + view.getUint32(at)) {
    if (latin(view, at + 4, at + 8) === "IEND") return true;
  }
  return false;
}

function endsAsWebp(view) {
  return view.getUint32(4, true) + 8 <= view.byteLength;
}
