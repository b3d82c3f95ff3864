/**
 * Beside the picture form of /check, which works without: pictures are hashed here, and only fingerprints are sent.
 *
 * Any number of pictures can be chosen. Each gets its answer, and one that could not be hashed or looked up is named with
 * the reason: it is not unknown. Datasets are searched only where the picture itself is sent.
 */

const BATCH = 100;
const SHOWN = 200;
const TOO_PLAIN = "the picture is too plain to be told apart; only the same file would have been found";
const VERDICTS = {
  reserved: ["reserved", "Reserved"],
  conditional: ["conditional", "Under conditions"],
  doubtful: ["doubtful", "A possible copy"],
  allowed: ["allowed", "Allowed"],
  unknown: ["unknown", "Unknown"],
  not_compared: ["error", "Not compared"],
  error: ["error", "No answer"],
};

/** What is said of a file: a key of VERDICTS, and why. @typedef {{name: string, verdict: string, reason: string}} Said */

/** @param {import("./hash.js").Result} result  @param {any} answer  @returns {Said} */
function saidOf(result, answer) {
  const { name } = result;
  if (result.status !== "ok") return { name, verdict: "error", reason: `${result.error.message}. ${result.error.hint}` };
  if (answer?.status === "not_checked") return { name, verdict: "not_compared", reason: answer.reason };
  if (!answer || answer.status !== "ok") return { name, verdict: "error", reason: answer?.reason ?? "it was not looked up" };
  if (answer.preference === "unknown" && !result.asked.pdq) return { name, verdict: "not_compared", reason: TOO_PLAIN };
  const doubts = answer.preference === "unknown" && answer.statements.some((one) => !one.match.certain);
  return { name, verdict: doubts ? "doubtful" : answer.preference, reason: answer.reason };
}

/** Look up what was hashed; the answers are in order. Throws when the registry gives none. */
async function lookedUp(hashed, use) {
  const items = hashed.map(({ sha256, asked }, at) => ({ id: String(at), sha256, fingerprint: asked }));
  const body = JSON.stringify({ use, items });
  const answer = await fetch("/api/v1/lookup", { method: "POST", headers: { "Content-Type": "application/json" }, body });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.detail ?? `status ${answer.status}`);
  return { results: told.results, bytes: body.length };
}

/** What is said of every result, and how many bytes were sent for it. */
async function saidOfAll(results, use) {
  const said = new Map();
  let sent = 0;
  const hashed = results.filter((one) => one.status === "ok");
  for (let first = 0; first < hashed.length; first += BATCH) {
    const some = hashed.slice(first, first + BATCH);
    try {
      const { results: answers, bytes } = await lookedUp(some, use);
      sent += bytes;
      some.forEach((one, at) => said.set(one, saidOf(one, answers[at])));
    } catch (error) {
      const reason = `the registry did not answer: ${error.message}`;
      for (const one of some) said.set(one, { name: one.name, verdict: "error", reason });
    }
  }
  return { all: results.map((one) => said.get(one) ?? saidOf(one, null)), sent };
}

function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

const number = (value) => value.toLocaleString("en-GB");

function counted(all) {
  const count = (verdict) => all.filter((one) => one.verdict === verdict).length;
  const counts = Object.entries(VERDICTS).map(([verdict, [, title]]) => [title, count(verdict)]);
  return counts.filter(([, some]) => some).map(([title, some]) => `${title}: ${number(some)}`).join(" · ");
}

/** @param {Said} said */
function card({ name, verdict, reason }) {
  const [kind, title] = VERDICTS[verdict];
  const item = element("li");
  const line = element("p");
  line.append(element("strong", title, { class: `word ${kind === "doubtful" ? "conditional" : kind}` }), ` – ${name}`);
  item.append(line, element("p", reason, { class: "small" }));
  return item;
}

/** A list for spreadsheets, in which no cell can pass for a formula. @param {Said[]} all */
function listOf(all) {
  const cell = (text) => `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
  const rows = all.map(({ name, verdict, reason }) => [name, verdict, reason].map(cell).join(","));
  return new Blob([["file,answer,reason", ...rows].join("\r\n"), "\r\n"], { type: "text/csv" });
}

class LocalCheck {
  constructor(form) {
    this.form = form;
    this.input = form.elements.picture;
    this.button = element("button", "Check without sending pictures", { type: "button", id: "check-here" });
    this.stopper = element("button", "Stop", { type: "button", class: "quiet", hidden: "" });
    this.status = element("p", "", { role: "status", id: "check-here-status" });
    this.answers = element("ul", "", { class: "cards", id: "check-here-answers" });
    this.more = element("p", "", { class: "small" });
    this.input.multiple = true;
    form.querySelector("button").before(this.button, this.stopper);
    form.after(this.status, this.answers, this.more);
    this.button.addEventListener("click", () => this.run());
    form.addEventListener("submit", (event) => this.refuseMany(event));
  }

  refuseMany(event) {
    if (this.input.files.length < 2) return;
    event.preventDefault();
    this.status.textContent = "One picture can be sent at a time. Choose one, or check without sending.";
  }

  async run() {
    if (!this.form.reportValidity()) return;
    const files = [...this.input.files];
    const stop = new AbortController();
    this.stopper.onclick = () => stop.abort();
    this.begin();
    try {
      await this.check(files, stop.signal);
    } catch (error) {
      this.status.textContent = `Nothing was checked: ${error.message}`;
    } finally {
      this.button.disabled = false;
      this.stopper.hidden = true;
    }
  }

  begin() {
    this.answers.replaceChildren();
    this.more.replaceChildren();
    this.button.disabled = true;
    this.stopper.hidden = false;
    this.status.textContent = "Testing what this browser makes of pictures…";
  }

  async check(files, signal) {
    // What hashes is fetched when somebody asks for it: the page itself stays light.
    const { openHasher } = await import("./hash.js");
    const hasher = await openHasher();
    try {
      if (hasher.decoder === null) throw new Error(hasher.notice);
      const onResult = (_, __, done) => {
        this.status.textContent = `${number(done)} of ${number(files.length)} hashed. ${hasher.notice}`;
      };
      const results = await hasher.hash(files, { kinds: ["asked"], signal, onResult });
      const { all, sent } = await saidOfAll(results, this.form.elements.use.value);
      this.show(all, sent, hasher.notice);
    } finally {
      hasher.close();
    }
  }

  show(all, sent, notice) {
    this.status.textContent =
      `${counted(all)}. 0 bytes of pictures were sent, and ${number(sent)} bytes of fingerprints.` +
      ` “Unknown” means that nobody has said anything; it is not consent. ${notice}`;
    this.answers.replaceChildren(...all.slice(0, SHOWN).map(card));
    if (all.length < 2) return;
    const href = URL.createObjectURL(listOf(all));
    const link = element("a", "Download the whole list", { href, download: "checked.csv" });
    this.more.append(all.length > SHOWN ? `The first ${SHOWN} are shown. ` : "", link);
  }
}

const form = document.getElementById("picture-form");
if (form) new LocalCheck(form);
