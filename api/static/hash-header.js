/**
 * What the first bytes of a file say, before anything is decoded: its kind, and how large the picture is.
 *
 * The kind is read from the bytes, never from the name. What browsers cannot decode alike, or what is no picture, is
 * refused by its name; so is a picture above `MAX_PIXELS`, however small its file.
 */

import { HashError } from "./hash-errors.js";

/** @typedef {"JPEG" | "PNG" | "WEBP" | "GIF" | "BMP" | "AVIF"} Format */
/**
 * Sides in pixels, as the picture lies in the file; `depth` in bits a sample, of PNG; `components` of JPEG; whether
 * a WebP is `animated`.
 * @typedef {{format: Format, width: number, height: number, depth?: number, components?: number, animated?: boolean}} Header
 */

/** Larger pictures are refused before decoding, as registry/picture.py does. */
export const MAX_PIXELS = 89_478_485;
/** Larger files are not read. */
export const MAX_BYTES = 512 * 2 ** 20;
/** So many bytes from the beginning nearly always tell the kind and the size. */
export const HEAD_BYTES = 256 * 1024;

const TYPES = { JPEG: "image/jpeg", PNG: "image/png", WEBP: "image/webp", GIF: "image/gif", BMP: "image/bmp", AVIF: "image/avif" };

/** The media type of a format. @param {Format} format */
export function typeOf(format) {
  return TYPES[format];
}

/**
 * Read the header of a picture in `bytes`, the whole file or its beginning; null when the beginning does not reach as far
 * as the size.
 * @param {Uint8Array} bytes  @returns {Header | null}
 * Throws a HashError: not-a-picture, not-read-here, too-large.
 */
export function readHeader(bytes) {
  const format = formatOf(bytes);
  const told = READERS[format](new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  if (told === null) return null;
  const { width, height } = told;
  if (width * height > MAX_PIXELS) {
    const most = Math.round(MAX_PIXELS / 1e6);
    throw new HashError("too-large", `${width} × ${height} pixels; at most ${most} megapixels are decoded`);
  }
  if (width < 1 || height < 1) throw new HashError("damaged", `the header says ${width} × ${height} pixels`);
  return { format, ...told };
}

/** @param {Uint8Array} bytes  @returns {Format} */
function formatOf(bytes) {
  const start = latin(bytes, 0, 512);
  const format = KINDS.find(([pattern]) => pattern.test(start))?.[1];
  if (format in TYPES) return format;
  if (format !== undefined) throw new HashError("not-read-here", `${format} is not hashed in the browser`);
  if (bytes.length === 0) throw new HashError("not-a-picture", "the file is empty");
  throw new HashError("not-a-picture", "not a picture, or of a kind that is not read");
}

// The first that fits counts. Names that are no format of ours are what people are told.
const KINDS = [
  [/^\xff\xd8\xff/, "JPEG"],
  [/^\x89PNG\r\n\x1a\n/, "PNG"],
  [/^RIFF[^]{4}WEBP/, "WEBP"],
  [/^GIF8[79]a/, "GIF"],
  [/^BM[^]{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0/, "BMP"],
  [/^[^]{4}ftyp(?:avif|avis|[^]{4}[^]{4}(?:[^]{4})*?avif)/, "AVIF"],
  [/^[^]{4}ftyp(?:hei[cxms]|hev[cx]|mif1|msf1)/, "HEIC"],
  [/^(?:II\*\0|MM\0\*|II\+\0|MM\0\+)/, "TIFF"],
  [/^(?:\xff\x0a|\0\0\0\x0cJXL )/, "JPEG XL"],
  [/^\0\0\0\x0cjP {2}/, "JPEG 2000"],
  [/^8BPS/, "Photoshop"],
  [/^(?:\xef\xbb\xbf)?\s*(?:<\?xml|<!--|<!doctype svg|<svg)[^]*<svg|^(?:\xef\xbb\xbf)?\s*<svg/i, "SVG"],
  [/^[^]{4}ftyp|^[^]{4}(?:moov|mdat|wide)/, "video (MP4, QuickTime)"],
  [/^\x1aE\xdf\xa3/, "video (WebM, Matroska)"],
  [/^RIFF[^]{4}AVI /, "video (AVI)"],
  [/^(?:OggS|FLV\x01|\0\0\x01[\xb3\xba])/, "video"],
  [/^%PDF-/, "PDF"],
  [/^PK\x03\x04/, "an archive (ZIP)"],
];

/** @type {Record<Format, (view: DataView) => Omit<Header, "format"> | null>} */
const READERS = {
  JPEG: ofJpeg,
  PNG: (view) => (view.byteLength < 25 ? null : { ...sides(view.getUint32(16), view.getUint32(20)), depth: view.getUint8(24) }),
  WEBP: ofWebp,
  GIF: (view) => (view.byteLength < 10 ? null : sides(view.getUint16(6, true), view.getUint16(8, true))),
  BMP: ofBmp,
  AVIF: ofAvif,
};

function sides(width, height) {
  return { width, height };
}

function ofJpeg(view) {
  for (const { marker, start, end } of jpegSegments(view)) {
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (!isFrame || end - start < 6) continue;
    return { ...sides(view.getUint16(start + 3), view.getUint16(start + 1)), components: view.getUint8(start + 5) };
  }
  return null;
}

/**
 * The segments of a JPEG from the first to the start of the scan: the marker, and where its data begin and end.
 * @param {DataView} view  @returns {Generator<{marker: number, start: number, end: number}>}
 */
export function* jpegSegments(view) {
  let at = 2;
  while (at + 4 <= view.byteLength) {
    if (view.getUint8(at) !== 0xff) return;
    const marker = view.getUint8(at + 1);
    if (marker === 0xff || marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8)) {
      at += marker === 0xff ? 1 : 2;
      continue;
    }
    const end = at + 2 + view.getUint16(at + 2);
    if (marker === 0xd9 || end > view.byteLength) return;
    yield { marker, start: at + 4, end };
    if (marker === 0xda) return;
    at = end;
  }
}

function ofWebp(view) {
  if (view.byteLength < 30) return null;
  const kind = latin(view, 12, 16);
  if (kind === "VP8X") {
    return { ...sides(1 + uint24(view, 24), 1 + uint24(view, 27)), animated: (view.getUint8(20) & 2) !== 0 };
  }
  if (kind === "VP8 ") return sides(view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff);
  const bits = view.getUint32(21, true);
  return sides(1 + (bits & 0x3fff), 1 + ((bits >> 14) & 0x3fff));
}

function ofBmp(view) {
  if (view.byteLength < 26) return null;
  if (view.getUint32(14, true) === 12) return sides(view.getUint16(18, true), view.getUint16(20, true));
  return sides(view.getInt32(18, true), Math.abs(view.getInt32(22, true)));
}

/** The largest of the sizes that its boxes tell: those of tiles and thumbnails are smaller. */
function ofAvif(view) {
  let largest = null;
  for (let at = 4; at + 16 <= Math.min(view.byteLength, HEAD_BYTES); at++) {
    if (view.getUint32(at) !== 0x69737065) continue; // "ispe"
    const [width, height] = [view.getUint32(at + 8), view.getUint32(at + 12)];
    if (largest === null || width * height > largest.width * largest.height) largest = sides(width, height);
  }
  return largest;
}

function uint24(view, at) {
  return view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
}

/** The bytes from `start` to `end` as text, a character a byte. @param {ArrayBufferView} view */
export function latin(view, start, end) {
  const last = Math.min(end, view.byteLength);
  const bytes = new Uint8Array(view.buffer, view.byteOffset + start, Math.max(0, last - start));
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
