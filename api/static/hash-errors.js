/**
 * Why a picture has no fingerprint, in words for people.
 *
 * A picture that cannot be hashed here is an error with a name; it never passes for one of which nothing is
 * known.
 *
 *     not-a-picture    bytes of no kind that is known, or none at all
 *     not-read-here    a known kind that is not hashed in browsers: SVG, video, HEIC, TIFF …
 *     too-large        more bytes or pixels than are decoded
 *     damaged          the decoder refuses the bytes
 *     no-memory        the browser gave no memory for the pixels
 *     pixels-changed   the browser changes pixels before scripts see them, and no decoder of ours reads the kind
 *     not-secure       the page was not opened over https, so the browser gives no SHA-256
 *     too-slow         no answer within the time that a picture may take
 *     failed           a fault of this program or of the browser
 *     cancelled        somebody stopped it
 */

/** @typedef {{name: string, message: string, hint: string}} Told */

const COMMAND_LINE = "Hash it on your own machine: caveat check PICTURE.";

const HINTS = {
  "not-a-picture": "Choose a JPEG, PNG, WebP, GIF, BMP or AVIF file.",
  "not-read-here": "Export it as JPEG, PNG or WebP.",
  "too-large": "Scale it down, or leave it out.",
  damaged: "Fetch or export it again.",
  "no-memory": `Close other tabs and try again. ${COMMAND_LINE}`,
  "pixels-changed": COMMAND_LINE,
  "not-secure": "Open this page with https://.",
  "too-slow": COMMAND_LINE,
  failed: `Try again. ${COMMAND_LINE}`,
  cancelled: "Start again to hash it.",
};

/** A picture that has no fingerprint: `name` is one of the names above, `hint` says what to do. */
export class HashError extends Error {
  /** @param {keyof typeof HINTS} name  @param {string} message  @param {string} [hint] */
  constructor(name, message, hint = HINTS[name]) {
    super(message);
    this.name = name;
    this.hint = hint;
  }
}

/**
 * What is told of any error, as a value that can be sent from a worker.
 * @param {unknown} error  @returns {Told}
 */
export function told(error) {
  const known = error instanceof HashError ? error : new HashError("failed", `it could not be hashed: ${error}`);
  return { name: known.name, message: known.message, hint: known.hint };
}
