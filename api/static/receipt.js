// Beside the receipt's pages, which work without: of a model only its header is sent, with the hash of its
// tensors made here, and what is to be copied gets a button.
"use strict";

const LENGTH_BYTES = 8;
const LARGEST_HEADER = 100_000_000;
const LARGEST_HASHED = 2 ** 30;

/** Return how long the header of a safetensors file is, these eight bytes included; 0 where it is none. */
async function headerSize(file) {
  const view = new DataView(await file.slice(0, LENGTH_BYTES).arrayBuffer());
  if (view.byteLength < LENGTH_BYTES || view.getUint8(LENGTH_BYTES - 1) !== 0) return 0;
  const length = Number(view.getBigUint64(0, true));
  return length >= 2 && length <= LARGEST_HEADER ? LENGTH_BYTES + length : 0;
}

/** Return the SHA-256 of a part of a file, hexadecimal; empty where it is too large or cannot be made here. */
async function sha256(part) {
  if (!globalThis.crypto?.subtle || part.size > LARGEST_HASHED) return "";
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await part.arrayBuffer()));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Put the header in the place of the model, and the hash of its tensors beside it. */
async function reduce(form, say) {
  const input = form.elements.file;
  const file = input.files[0];
  const size = file ? await headerSize(file) : 0;
  form.elements.tensor_hash.value = "";
  if (!size || size >= file.size) return;
  say("Hashing the model here…");
  form.elements.tensor_hash.value = await sha256(file.slice(size));
  const header = new DataTransfer();
  header.items.add(new File([file.slice(0, size)], file.name));
  input.files = header.files;
  say(`${size.toLocaleString("en-GB")} of ${file.size.toLocaleString("en-GB")} bytes are sent.`);
}

function watch(form) {
  const note = form.querySelector("[data-note]");
  const say = (text) => { note.textContent = text; };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await reduce(form, say);
    } catch {
      say("The file cannot be read here. It is sent as it is.");
    }
    form.submit();
  });
}

function offerCopy(block) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy ${block.dataset.copy}`);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(block.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(block);
      button.textContent = "Selected";
    }
  });
  block.after(button);
}

for (const form of document.querySelectorAll("form[data-model]")) watch(form);
for (const block of document.querySelectorAll("pre[data-copy]")) offerCopy(block);
