/**
 * How a picture lies in its file: EXIF orientation 1–8, as registry/picture.py reads it.
 *
 * EXIF comes first, in JPEG, PNG and WebP; without an orientation in it, `tiff:Orientation` of XMP counts. Browsers read
 * some of these places and not others, so the picture is decoded as it lies, for which `withoutOrientation` sets the
 * value to 1 in a copy of the bytes, and turned here. AVIF has its own turns, which every decoder obeys.
 */

import { jpegSegments, latin } from "./hash-header.js";

/** A stretch of the file. @typedef {{start: number, end: number}} Range */

const ORIENTATION = 0x0112;
const SIZES = { 1: 1, 3: 2, 4: 4 }; // BYTE, SHORT, LONG
const IN_XMP = /tiff:Orientation(?:="|>)([0-9])/;
const EXIF = "Exif\0\0";
const ADOBE = "http://ns.adobe.com/xap/1.0/\0";
const KEYWORD = "XML:com.adobe.xmp\0";

/** The orientation, 1 where none is told or what is told is broken. @param {Uint8Array} bytes  @param {string} format */
export function orientationOf(bytes, format) {
  const view = viewOf(bytes);
  const { exif, xmp } = metadataOf(view, format);
  const entry = exif && entryIn(view, exif);
  const told = entry ? valueAt(view, entry) : Number(xmp && IN_XMP.exec(latin(view, xmp.start, xmp.end))?.[1]);
  return told >= 1 && told <= 8 ? told : 1;
}

/** The bytes with an EXIF orientation of 1; the same bytes where none is told. @param {Uint8Array} bytes  @param {string} format */
export function withoutOrientation(bytes, format) {
  const { exif } = metadataOf(viewOf(bytes), format);
  const entry = exif && entryIn(viewOf(bytes), exif);
  if (!entry || valueAt(viewOf(bytes), entry) === 1) return bytes;
  const copy = bytes.slice();
  const view = viewOf(copy);
  if (entry.size === 1) view.setUint8(entry.at, 1);
  else if (entry.size === 2) view.setUint16(entry.at, 1, entry.little);
  else view.setUint32(entry.at, 1, entry.little);
  return copy;
}

function viewOf(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** @param {DataView} view  @param {string} format  @returns {{exif?: Range, xmp?: Range}} */
function metadataOf(view, format) {
  if (format === "JPEG") return inJpeg(view);
  if (format === "PNG") return inPng(view);
  return format === "WEBP" ? inWebp(view) : {};
}

function inJpeg(view) {
  const found = {};
  for (const { marker, start, end } of jpegSegments(view)) {
    if (marker !== 0xe1) continue;
    if (latin(view, start, start + EXIF.length) === EXIF) found.exif ??= { start: start + EXIF.length, end };
    else if (latin(view, start, start + ADOBE.length) === ADOBE) found.xmp = { start: start + ADOBE.length, end };
  }
  return found;
}

function inPng(view) {
  const found = {};
  for (let at = 8; at + 12 <= view.byteLength; ) {
    const start = at + 8;
    const end = start + view.getUint32(at);
    if (end + 4 > view.byteLength) break;
    const kind = latin(view, at + 4, start);
    if (kind === "eXIf") found.exif = { start, end };
    else if (kind === "iTXt" && latin(view, start, start + KEYWORD.length) === KEYWORD) found.xmp = { start, end };
    at = end + 4;
  }
  return found;
}

function inWebp(view) {
  const found = {};
  for (let at = 12; at + 8 <= view.byteLength; ) {
    const start = at + 8;
    const end = start + view.getUint32(at + 4, true);
    if (end > view.byteLength) break;
    const kind = latin(view, at, at + 4);
    if (kind === "EXIF") {
      const skipped = latin(view, start, start + EXIF.length) === EXIF ? EXIF.length : 0;
      found.exif = { start: start + skipped, end };
    } else if (kind === "XMP ") found.xmp = { start, end };
    at = end + (end & 1);
  }
  return found;
}

/** Where the orientation stands in the first directory of EXIF data; undefined where it does not, or they are broken. */
function entryIn(view, { start, end }) {
  if (end - start < 8) return undefined;
  const order = latin(view, start, start + 2);
  if (order !== "II" && order !== "MM") return undefined;
  const little = order === "II";
  const directory = start + view.getUint32(start + 4, little);
  if (directory + 2 > end) return undefined;
  const count = view.getUint16(directory, little);
  for (let one = 0, at = directory + 2; one < count && at + 12 <= end; one++, at += 12) {
    if (view.getUint16(at, little) !== ORIENTATION) continue;
    const size = SIZES[view.getUint16(at + 2, little)];
    return size && { at: at + 8, size, little };
  }
  return undefined;
}

function valueAt(view, { at, size, little }) {
  if (size === 1) return view.getUint8(at);
  return size === 2 ? view.getUint16(at, little) : view.getUint32(at, little);
}
