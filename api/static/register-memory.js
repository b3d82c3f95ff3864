/** What this browser keeps of a lodging under way, so that a page that was left goes on. No code, and no picture. */

const KEPT = "caveat-lodging";

/** What was lodged and acknowledged, as this browser keeps it: the record, and the files by name, size and time. */
export class Memory {
  constructor(record) {
    this.record = record;
    this.files = {};
  }

  static read() {
    try {
      const kept = JSON.parse(localStorage.getItem(KEPT) ?? "null");
      return kept?.record && kept.files ? Object.assign(new Memory(kept.record), { files: kept.files }) : null;
    } catch {
      return null;
    }
  }

  static forget() {
    try {
      localStorage.removeItem(KEPT);
    } catch {
      // A browser that keeps nothing has nothing to forget.
    }
  }

  write() {
    try {
      localStorage.setItem(KEPT, JSON.stringify({ record: this.record, files: this.files }));
    } catch {
      // Without it a page that was left begins anew; nothing that was lodged is lost.
    }
  }

  get count() {
    return Object.keys(this.files).length;
  }
}
