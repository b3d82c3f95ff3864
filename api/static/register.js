/**
 * Beside the forms that lodge works, which work without: pictures are hashed here and lodged in batches.
 *
 * What was acknowledged is kept in this browser, so that a page that was left goes on where it was: choose the same
 * folder again. A batch has a name of its contents, so that one that is sent again is lodged once.
 */

import { openHasher } from "./hash.js";
import { dropped } from "./register-files.js";
import { Memory } from "./register-memory.js";
import { Refused, Sender, Stopped } from "./register-sending.js";

const BATCH = 25;
const HIDDEN = /^\.|^(thumbs\.db|desktop\.ini)$/i;

const number = (value) => value.toLocaleString("en-GB");
const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;

const keyOf = ({ file, path }) => `${path}|${file.size}|${file.lastModified}`;

/** One form: what was chosen, what is under way, and what is shown of it. */
class Lodging {
  constructor(form) {
    this.form = form;
    this.to = form.dataset.to ?? "";
    this.chosen = new Map();
    this.failed = [];
    this.parts = Object.fromEntries(
      ["here", "drop", "chosen", "running", "doing", "stop", "note", "failed", "upload", "submit",
        "lodged-count", "folded", "failed-count"].map((name) => [name, form.querySelector(`[data-${name}]`)]),
    );
    this.bar = form.querySelector("progress");
    this.resume = document.querySelector("[data-resume]");
  }

  open() {
    this.parts.here.hidden = false;
    if (!this.form.querySelector("#pictures[aria-invalid]")) this.parts.upload.open = false;
    for (const input of this.parts.here.querySelectorAll("input[type=file]")) {
      input.addEventListener("change", () => this.choose([...input.files].map((file) => ({ file, path: pathOf(file) }))));
    }
    this.watchDrop();
    this.parts.stop.addEventListener("click", () => this.stopping?.abort());
    this.form.addEventListener("submit", (event) => this.submitted(event));
    addEventListener("beforeunload", (event) => { if (this.stopping) event.preventDefault(); });
    this.offerToGoOn();
  }

  watchDrop() {
    const { drop } = this.parts;
    const over = (on) => (event) => {
      event.preventDefault();
      drop.classList.toggle("over", on);
    };
    drop.addEventListener("dragover", over(true));
    drop.addEventListener("dragleave", over(false));
    drop.addEventListener("drop", async (event) => {
      over(false)(event);
      this.choose(await dropped(event.dataTransfer));
    });
  }

  /** Tell that an earlier visit was not finished. */
  offerToGoOn() {
    this.memory = this.to ? null : Memory.read();
    if (!this.resume || !this.memory) return;
    this.resume.querySelector("[data-resume-text]").textContent =
      `${plural(this.memory.count, "picture")} of an earlier visit are lodged, under the record ${this.memory.record}.` +
      " Choose the same folder again: what is lodged is passed over, and the rest is added to it, under what you said then.";
    this.resume.hidden = false;
    this.resume.querySelector("[data-anew]").addEventListener("click", () => {
      Memory.forget();
      this.memory = null;
      this.resume.hidden = true;
    });
  }

  choose(files) {
    for (const one of files) if (!HIDDEN.test(one.file.name)) this.chosen.set(keyOf(one), one);
    const bytes = [...this.chosen.values()].reduce((sum, { file }) => sum + file.size, 0);
    this.parts.chosen.textContent =
      `${plural(this.chosen.size, "file")} chosen, ${number(Math.ceil(bytes / 1e6))} MB. They stay on this machine.`;
  }

  submitted(event) {
    if (!this.chosen.size) return;
    event.preventDefault();
    if (!this.stopping) this.run();
  }

  async run() {
    this.stopping = new AbortController();
    this.parts.running.hidden = false;
    this.parts.submit.disabled = true;
    try {
      await this.lodgeAll();
      this.finish();
    } catch (error) {
      this.ended(error);
    } finally {
      this.stopping = null;
      this.parts.submit.disabled = false;
    }
  }

  /** Hash and lodge at the same time: a batch is sent while the next is hashed. */
  async lodgeAll() {
    const { signal } = this.stopping;
    this.begin(signal);
    const hasher = await openHasher();
    try {
      if (hasher.notice) this.say(hasher.notice);
      if (hasher.decoder === null) throw new Refused(0, { detail: hasher.notice });
      const wanted = [...this.chosen.values()].filter((one) => !(keyOf(one) in (this.memory?.files ?? {})));
      this.total = wanted.length;
      await hasher.hash(wanted.map(({ file }) => file), {
        kinds: ["registered"],
        signal,
        onResult: (result, at, done) => this.hashed(result, wanted[at], done),
      });
    } finally {
      hasher.close();
    }
    this.flush();
    await this.sending;
    if (this.error) throw this.error;
    if (signal.aborted) throw new Stopped();
  }

  begin(signal) {
    const fields = new FormData(this.form);
    this.sender = new Sender({
      address: this.form.dataset.batch,
      token: fields.get("form"),
      code: (fields.get("code") ?? "").trim(),
      signal,
      onWait: (wait) => this.say(`The registry cannot be reached. Trying again in ${Math.round(wait / 1000)} s; nothing is lost.`),
    });
    this.words = this.wordsOf(fields);
    Object.assign(this, { waiting: [], sending: Promise.resolve(), error: null, failed: [], folded: 0 });
    this.seen = new Set(Object.values(this.memory?.files ?? {}));
    this.parts.failed.replaceChildren();
    this.show(0);
  }

  wordsOf(fields) {
    const preferences = {};
    for (const select of this.form.querySelectorAll("select[data-use]")) {
      if (select.value) preferences[select.name] = select.value;
    }
    for (const name of this.form.getAttributeNames()) {
      if (name.startsWith("data-said-")) preferences[name.slice("data-said-".length)] = this.form.getAttribute(name);
    }
    const text = (name) => (fields.get(name) ?? "").trim();
    return { preferences, label: text("label"), terms: text("terms"), contact: text("contact"), public: fields.has("public") };
  }

  hashed(result, { file, path }, done) {
    const key = keyOf({ file, path });
    if (result.status !== "ok") this.fail(path, result.error);
    else if (this.seen.has(result.sha256)) this.folded++;
    else {
      this.seen.add(result.sha256);
      const work = { title: title(file.name), sha256: result.sha256, fingerprint: result.registered };
      this.waiting.push({ key, work });
      if (this.waiting.length >= BATCH) this.flush();
    }
    this.show(done);
  }

  fail(path, { name, message, hint }) {
    if (name === "cancelled") return;
    this.failed.push([path, `${message}. ${hint}`]);
    const item = document.createElement("li");
    const title = document.createElement("b");
    title.textContent = path;
    item.append(title, `: ${message}. ${hint}`);
    this.parts.failed.append(item);
  }

  /** Have what waits sent behind what is being sent. */
  flush() {
    const batch = this.waiting.splice(0);
    if (batch.length) this.sending = this.sending.then(() => this.send(batch));
  }

  async send(batch) {
    if (this.error) return;
    try {
      const record = this.to || this.memory?.record || null;
      const done = await this.sender.send({ ...this.words, record, works: batch.map(({ work }) => work) });
      this.memory ??= new Memory(done.id);
      for (const { key, work } of batch) this.memory.files[key] = work.sha256;
      if (!this.to) this.memory.write();
      this.say("");
      this.show();
    } catch (error) {
      this.error = error;
      this.stopping?.abort();
    }
  }

  show(done = this.done) {
    this.done = done;
    this.bar.max = this.total || 1;
    this.bar.value = done;
    this.parts.doing.textContent = this.doing(done);
    this.parts["lodged-count"].textContent = number(this.memory?.count ?? 0);
    this.parts.folded.textContent = number(this.folded);
    this.parts["failed-count"].textContent = number(this.failed.length);
  }

  doing(done) {
    if (!this.total) return "Starting";
    return done < this.total ? `Hashed ${number(done)} of ${number(this.total)}` : "All hashed; lodging the last of them";
  }

  say(text) {
    if (this.parts.note.textContent !== text) this.parts.note.textContent = text;
  }

  /** Send the form for what else was filled in, and for the page that says how it ended. */
  finish() {
    const lodged = this.memory?.count ?? 0;
    if (!lodged) {
      this.say("None of the files could be read, so nothing was lodged. Why stands below.");
      return;
    }
    const kilobytes = Math.ceil(this.sender.sentBytes / 1000);
    this.say(`${plural(lodged, "picture")} lodged; ${number(kilobytes)} kB of fingerprints and 0 bytes of pictures sent.`);
    set(this.form, "record", this.to || this.memory.record);
    set(this.form, "failed", JSON.stringify(this.failed.slice(0, 1000)));
    this.stopping = null;
    this.form.submit();
  }

  ended(error) {
    const lodged = this.memory?.count ?? 0;
    const rest = `${plural(lodged, "picture")} lodged; the others are not.`;
    if (error instanceof Refused && error.status === 404 && !this.to) {
      this.form.querySelector("#code").closest("details").open = true;
      this.say(
        "The record of your earlier visit is not under the code that this browser keeps now. Enter the code that you were shown" +
          " and press Lodge again, or begin a new record.",
      );
    } else if (error instanceof Stopped || error.name === "AbortError") {
      this.say(`Stopped. ${rest} Press the button again to go on.`);
    } else {
      this.say(`${error.message || error} ${rest}`);
      this.parts.upload.open ||= error.status === 0;
    }
  }
}

function set(form, name, value) {
  let field = form.elements.namedItem(name);
  if (!field) {
    field = Object.assign(document.createElement("input"), { type: "hidden", name });
    form.append(field);
  }
  field.value = value;
}

/** A name as it is kept, whole characters of it. */
function title(name) {
  return Array.from(name.replace(/\p{C}/gu, " ").trim()).slice(0, 200).join("");
}

const pathOf = (file) => file.webkitRelativePath || file.name;

function offerPrint(button) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}

for (const form of document.querySelectorAll("form[data-lodge]")) new Lodging(form).open();
for (const button of document.querySelectorAll("[data-print]")) offerPrint(button);
for (const one of document.querySelectorAll("[data-lodged]")) {
  if (Memory.read()?.record === one.dataset.lodged) Memory.forget();
}
