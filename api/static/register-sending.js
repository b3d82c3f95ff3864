/** Sending batches of works: one that is sent again is lodged once, and a registry out of reach is waited for. */

const FIRST_WAIT = 1000;
const LONGEST_WAIT = 30_000;
const AGAIN = new Set([429, 500, 502, 503, 504]);

/** A refusal by the registry: sending the same again would not help. */
export class Refused extends Error {
  constructor(status, problem) {
    super(`${problem.detail ?? `the registry answered ${status}`}. ${problem.hint ?? ""}`.trim());
    this.status = status;
  }
}

/** Somebody pressed Stop. */
export class Stopped extends Error {}

function hex(bytes) {
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Wait, but no longer than until it is stopped. */
function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
    return undefined;
  });
}

/** Sends batches one after the other; `sentBytes` counts what was sent, none of it pictures. */
export class Sender {
  constructor({ address, token, code, signal, onWait }) {
    Object.assign(this, { address, token, code, signal, onWait, sentBytes: 0 });
  }

  /** Lodge a batch; tries again while the registry is out of reach. @returns what was acknowledged */
  async send(batch) {
    const body = new TextEncoder().encode(JSON.stringify(batch));
    const name = hex(await crypto.subtle.digest("SHA-256", body));
    for (let wait = FIRST_WAIT; ; wait = Math.min(2 * wait, LONGEST_WAIT)) {
      const answer = await this.tried(body, name);
      if (answer?.ok) return answer.json();
      if (answer && !AGAIN.has(answer.status)) throw new Refused(answer.status, await problemOf(answer));
      this.onWait(wait);
      await pause(wait, this.signal);
    }
  }

  async tried(body, name) {
    if (this.signal.aborted) throw new Stopped();
    this.sentBytes += body.length;
    const headers = { "Content-Type": "application/json", Accept: "application/json", "Idempotency-Key": name };
    if (this.code) headers.Authorization = `Bearer ${this.code}`;
    else headers["Caveat-Form"] = this.token;
    try {
      return await fetch(this.address, { method: "POST", body, headers, signal: this.signal });
    } catch {
      return null;
    }
  }
}

async function problemOf(answer) {
  try {
    return await answer.json();
  } catch {
    return {};
  }
}
