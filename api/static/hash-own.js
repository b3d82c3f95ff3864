/**
 * Pixels by decoders of our own: JPEG, PNG and WebP, for browsers that change what scripts read from a canvas, and where
 * browsers differ from one another.
 *
 * The decoders in decoders/ are WebAssembly from the npm packages @jsquash/jpeg, png and webp. They come with the page,
 * and only when they are needed.
 */

import { HashError } from "./hash-errors.js";

/** @typedef {import("./hash-planes.js").Pixels} Pixels */

/** @type {Record<string, () => Promise<(bytes: Uint8Array) => ImageData>>} */
const LOADERS = {
  JPEG: async () => {
    const { default: make } = await import("./decoders/mozjpeg_dec.js");
    const module = await emscripten(make, new URL("./decoders/mozjpeg_dec.wasm", import.meta.url));
    return (bytes) => module.decode(bytes, false);
  },
  WEBP: async () => {
    const { default: make } = await import("./decoders/webp_dec.js");
    const module = await emscripten(make, new URL("./decoders/webp_dec.wasm", import.meta.url));
    return (bytes) => module.decode(bytes);
  },
  PNG: async () => {
    const { initSync, decode } = await import("./decoders/squoosh_png.js");
    initSync(await compiled(new URL("./decoders/squoosh_png_bg.wasm", import.meta.url)));
    return decode;
  },
};

const loaded = new Map();

/**
 * Decode a picture as it lies in the file.
 * @param {Uint8Array} bytes  @param {import("./hash-header.js").Header} header
 * @returns {Promise<Pixels & {close: () => void}>}
 */
export async function ownPixels(bytes, header) {
  const { width, height, data } = decodedBy(await decoderOf(header), bytes);
  if (width !== header.width || height !== header.height) {
    throw new HashError("damaged", `the header says ${header.width} × ${header.height} pixels, it has ${width} × ${height}`);
  }
  const read = (y, rows, ground) => {
    const some = data.subarray(y * width * 4, (y + rows) * width * 4);
    return ground === null ? some : laidOn(some, ground);
  };
  return { width, height, read, close: () => {} };
}

async function decoderOf(header) {
  const { format } = header;
  if (!(format in LOADERS) || header.components === 4 || header.animated) {
    const kind = header.components === 4 ? "JPEG in CMYK" : header.animated ? "animated WebP" : format;
    throw new HashError("pixels-changed", `this browser changes the pixels of pictures, and ${kind} is not read without it`);
  }
  if (!loaded.has(format)) loaded.set(format, LOADERS[format]());
  return loaded.get(format);
}

function decodedBy(decode, bytes) {
  let image;
  try {
    image = decode(bytes);
  } catch (error) {
    throw new HashError("damaged", `the picture is damaged or cut off: ${error}`);
  }
  if (!image) throw new HashError("damaged", "the picture is damaged or cut off");
  return image;
}

/** Lay RGBA on a grey, rounded as Pillow's alpha_composite rounds. @param {Uint8ClampedArray} rgba  @param {number} ground */
export function laidOn(rgba, ground) {
  const out = new Uint8ClampedArray(rgba.length);
  for (let at = 0; at < rgba.length; at += 4) {
    const over = rgba[at + 3] * 128;
    const under = ground * (255 * 128 - over);
    for (let channel = 0; channel < 3; channel++) {
      const sum = rgba[at + channel] * over + under + (0x80 << 7);
      out[at + channel] = ((sum >> 8) + sum) >> 15;
    }
    out[at + 3] = 255;
  }
  return out;
}

async function emscripten(make, url) {
  const module = await compiled(url);
  return make({
    noInitialRun: true,
    instantiateWasm: (imports, done) => {
      const instance = new WebAssembly.Instance(module, imports);
      done(instance);
      return instance.exports;
    },
  });
}

async function compiled(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new HashError("failed", `a decoder was not found: status ${answer.status}`);
  return WebAssembly.compile(await answer.arrayBuffer());
}
