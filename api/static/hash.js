/**
 * Hashing pictures where they are: no byte of them leaves the machine.
 *
 *     const hasher = await openHasher();
 *     const results = await hasher.hash(files, { kinds: ["asked"], onResult: (result, at, done) => … });
 *     hasher.close();
 *
 * Workers share the files; pictures that are decoded at the same time stay within a budget of memory, and a picture
 * above it is decoded alone. A picture that cannot be hashed is a result with an error; none is passed over.
 */

import { HashError, told } from "./hash-errors.js";
import { peek } from "./hash-picture.js";

/** @typedef {import("./hash-picture.js").Kind} Kind */
/** @typedef {import("./hash-picture.js").Decoder} Decoder */
/** @typedef {import("./hash-errors.js").Told} Told */
/** @typedef {import("./hash-picture.js").Hashed & {milliseconds: number}} Answer */
/** What became of a file. @typedef {{name: string, status: "ok"} & Answer | {name: string, status: "error", error: Told}} Result */
/**
 * `onResult` is told each result, the place of its file, and how many are done; `signal` stops what is not done yet.
 * @typedef {{kinds?: Kind[], signal?: AbortSignal, onResult?: (result: Result, at: number, done: number) => void}} Options
 */

const MEMORY = 512 * 2 ** 20;
const BYTES_A_PIXEL = 12; // the decoded picture, and its luma on white and perhaps on black
const MOST_WORKERS = 4;
const SECONDS = 120;

const WHY_UNKNOWN = "its script was not found, or it had no memory";

const NOTICES = {
  browser: "",
  own:
    "Your browser does not show a page the true pixels of a picture, which protects you from being recognised. So this page" +
    " reads JPEG, PNG and WebP files by itself, which takes a little longer. Other kinds cannot be hashed here.",
  none:
    "Your browser does not show a page the true pixels of a picture, so fingerprints would be wrong here. Some browsers do so" +
    " to protect you from being recognised. Use another one, or hash on your own machine: caveat check PICTURE.",
};

/**
 * Start the workers and test the browser.
 * @param {{workers?: number, memory?: number, seconds?: number}} [limits] how many workers; bytes of pictures that are
 *   decoded at the same time; seconds that a picture may take
 * @returns {Promise<Hasher>}
 */
export async function openHasher(limits = {}) {
  const hasher = new Hasher({ workers: defaultWorkers(), memory: MEMORY, seconds: SECONDS, ...limits });
  await hasher.test();
  return hasher;
}

function defaultWorkers() {
  return Math.max(1, Math.min(MOST_WORKERS, (globalThis.navigator?.hardwareConcurrency ?? 2) - 1));
}

/** Workers that hash; made by `openHasher`. */
export class Hasher {
  /** @param {{workers: number, memory: number, seconds: number}} limits */
  constructor(limits) {
    this.limits = limits;
    /** @type {Colleague[]} */
    this.idle = Array.from({ length: limits.workers }, () => new Colleague());
    /** @type {Decoder | null} */
    this.decoder = null;
  }

  /** Find the decoder that can be trusted: the browser's, ours, or null. */
  async test() {
    const { decoder } = await this.idle[0].ask({ ask: "decoder" }, this.limits.seconds);
    this.decoder = decoder;
  }

  /** What to tell people about their browser; empty where all is well. */
  get notice() {
    return NOTICES[this.decoder ?? "none"];
  }

  /**
   * Hash files, one call after the other; the results are in their order, whatever becomes of each.
   * @param {Iterable<File>} files  @param {Options} [options]  @returns {Promise<Result[]>}
   */
  async hash(files, options = {}) {
    return new Run(this, [...files], options).results();
  }

  /** End the workers. */
  close() {
    for (const one of this.idle.splice(0)) one.end();
  }
}

/** One call of `hash`. */
class Run {
  constructor(hasher, files, { kinds = ["asked"], signal, onResult = () => {} }) {
    Object.assign(this, { hasher, files, kinds, signal, onResult, next: 0, done: 0, taken: 0, wakers: [] });
    this.found = new Array(files.length);
  }

  /** @returns {Promise<Result[]>} */
  async results() {
    const colleagues = this.hasher.idle.splice(0);
    if (colleagues.length === 0) throw new HashError("failed", "the workers are hashing already, or were ended");
    const stop = () => {
      for (const one of colleagues) one.stop();
      this.wake();
    };
    this.signal?.addEventListener("abort", stop);
    await Promise.all(colleagues.map((one) => this.work(one)));
    this.signal?.removeEventListener("abort", stop);
    this.hasher.idle.push(...colleagues);
    return this.found;
  }

  async work(colleague) {
    while (this.next < this.files.length) {
      const at = this.next++;
      const file = this.files[at];
      const result = await this.resultOf(colleague, file);
      this.found[at] = { name: file.name ?? "", ...result };
      this.done++;
      this.onResult(this.found[at], at, this.done);
    }
  }

  async resultOf(colleague, file) {
    try {
      return { status: "ok", ...(await this.hashed(colleague, file)) };
    } catch (error) {
      return { status: "error", error: told(error) };
    }
  }

  async hashed(colleague, file) {
    const { decoder, limits } = this.hasher;
    this.refuseStopped();
    if (decoder === null) throw new HashError("pixels-changed", "this browser changes the pixels of pictures");
    const header = await peek(file);
    const bytes = header === null ? limits.memory : header.width * header.height * BYTES_A_PIXEL + file.size;
    await this.room(bytes);
    try {
      this.refuseStopped();
      return await colleague.ask({ ask: "hash", file, kinds: this.kinds, decoder }, limits.seconds);
    } finally {
      this.taken -= bytes;
      this.wake();
    }
  }

  refuseStopped() {
    if (this.signal?.aborted) throw new HashError("cancelled", "stopped before it was hashed");
  }

  /** Wait until so many bytes fit into the budget, or nothing else is being decoded. */
  async room(bytes) {
    while (this.taken > 0 && this.taken + bytes > this.hasher.limits.memory && !this.signal?.aborted) {
      await new Promise((resolve) => this.wakers.push(resolve));
    }
    this.taken += bytes;
  }

  wake() {
    for (const one of this.wakers.splice(0)) one();
  }
}

/** A worker that is asked one thing at a time; another takes its place when it is stopped. */
class Colleague {
  constructor() {
    this.worker = null;
    this.refuse = null;
  }

  /** @param {import("./hash-worker.js").Request} request  @param {number} seconds */
  async ask(request, seconds) {
    this.worker ??= new Worker(new URL("./hash-worker.js", import.meta.url), { type: "module" });
    const { worker } = this;
    let timer;
    try {
      return await new Promise((resolve, reject) => {
        this.refuse = reject;
        timer = setTimeout(() => this.stop(new HashError("too-slow", `no answer within ${seconds} seconds`)), seconds * 1000);
        worker.onmessage = ({ data }) => (data.error ? reject(fromTold(data.error)) : resolve(data.answer));
        worker.onerror = (event) => this.stop(new HashError("failed", `a worker ended: ${event.message ?? WHY_UNKNOWN}`));
        worker.postMessage(request);
      });
    } finally {
      clearTimeout(timer);
      this.refuse = null;
    }
  }

  /** End what it does; whoever waits for it is told why. */
  stop(why = new HashError("cancelled", "stopped while it was being hashed")) {
    this.refuse?.(why);
    this.end();
  }

  end() {
    this.worker?.terminate();
    this.worker = null;
  }
}

function fromTold({ name, message, hint }) {
  return new HashError(name, message, hint);
}
