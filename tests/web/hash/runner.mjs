/**
 * Runs hash.js in Node: a request a line in, an answer a line out, both JSON.
 *
 *     {"do": "made", "formula": …, "width": …, "height": …, "seed": …}    PDQ of pixels that are made here
 *     {"do": "pixels", "width": …, "height": …, "rgba": …, "black": …}     both fingerprints of the pixels (base64)
 *     {"do": "file", "data": …}                                            the same of a file, by our own decoders
 *     {"do": "header", "data": …}                                          what its first bytes say
 */

import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";

import { told } from "../../../api/static/hash-errors.js";
import { asked, hex, registered } from "../../../api/static/hash-fingerprint.js";
import { readHeader } from "../../../api/static/hash-header.js";
import { orientationOf } from "../../../api/static/hash-orientation.js";
import { hashPicture } from "../../../api/static/hash-picture.js";
import { groundedPlanes, opaquePlanes } from "../../../api/static/hash-planes.js";
import { pdq } from "../../../api/static/hash-pdq.js";
import { madePixels } from "./made.mjs";

// Node fetches no files, and the decoders are fetched.
const fetchOfNode = globalThis.fetch;
globalThis.fetch = async (url, ...more) =>
  new URL(url).protocol === "file:" ? new Response(await readFile(new URL(url))) : fetchOfNode(url, ...more);

function bytesOf(base64) {
  return new Uint8Array(Buffer.from(base64, "base64"));
}

const ANSWERS = {
  async made({ formula, width, height, seed }) {
    const rgba = madePixels(formula, width, height, seed);
    const rgb = rgba.filter((_, at) => at % 4 !== 3);
    const { white } = opaquePlanes({ width, height, read: (y, rows) => rgba.subarray(y * width * 4, (y + rows) * width * 4) }, 1);
    const { bits, mirrored, quality } = pdq(white);
    const digest = hex(new Uint8Array(await crypto.subtle.digest("SHA-256", rgb)));
    return { pixels_sha256: digest, pdq: hex(bits), mirrored: hex(mirrored), quality };
  },
  pixels({ width, height, rgba, black, orientation = 1 }) {
    const grounds = { 255: bytesOf(rgba), 0: black ? bytesOf(black) : null };
    const read = (y, rows, ground) => grounds[ground ?? 255].subarray(y * width * 4, (y + rows) * width * 4);
    const planes = (black ? groundedPlanes : opaquePlanes)({ width, height, read }, orientation);
    return { registered: registered(planes), asked: asked(planes) };
  },
  file: ({ data }) => hashPicture(new Blob([bytesOf(data)]), ["registered", "asked"], "own"),
  header({ data }) {
    const header = readHeader(bytesOf(data));
    return header && { ...header, orientation: orientationOf(bytesOf(data), header.format) };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let answer;
  try {
    answer = { answer: await ANSWERS[request.do](request) };
  } catch (error) {
    answer = { error: { ...told(error), stack: error.stack } };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
