/** A worker that hashes one picture after the other, and tells which decoder can be trusted. */

import { told } from "./hash-errors.js";
import { hashPicture } from "./hash-picture.js";
import { trustedDecoder } from "./hash-selftest.js";

/**
 * @typedef {{ask: "decoder"} | {ask: "hash", file: Blob, kinds: import("./hash-picture.js").Kind[],
 *   decoder: import("./hash-picture.js").Decoder}} Request
 */

async function answerTo(request) {
  if (request.ask === "decoder") return { decoder: await trustedDecoder() };
  const start = performance.now();
  const hashed = await hashPicture(request.file, request.kinds, request.decoder);
  return { ...hashed, milliseconds: performance.now() - start };
}

addEventListener("message", async ({ data }) => {
  try {
    postMessage({ answer: await answerTo(data) });
  } catch (error) {
    postMessage({ error: told(error) });
  }
});
