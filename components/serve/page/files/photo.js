// Photos that a person chose, dropped or pasted. They stay in this tab's memory: an address can name one, but not carry it.

import { byId } from "./elements.js";

const MAX_KEPT = 8;
const kept = new Map();
let number = Date.now();

export function keep(file) {
  const name = String((number += 1));
  kept.set(name, { file, url: URL.createObjectURL(file) });
  for (const oldest of [...kept.keys()].slice(0, -MAX_KEPT)) {
    URL.revokeObjectURL(kept.get(oldest).url);
    kept.delete(oldest);
  }
  return name;
}

export const photoNamed = (name) => kept.get(name);

// Calls onPhoto with each picture that comes in by the file chooser, by dropping it anywhere, or by pasting.
export function listenForPhotos(onPhoto) {
  const first = (files) => [...(files ?? [])].find((file) => file.type.startsWith("image/"));
  const take = (files, event) => {
    const file = first(files);
    if (!file) return;
    event.preventDefault();
    onPhoto(file);
  };
  byId("photo").addEventListener("change", (event) => {
    take(event.target.files, event);
    event.target.value = "";  // the same file may be chosen again
  });
  document.addEventListener("paste", (event) => take(event.clipboardData?.files, event));
  const shown = (visible) => document.body.classList.toggle("dropping", visible);
  document.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    shown(true);
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget ?? shown(false));
  document.addEventListener("drop", (event) => {
    if (event.dataTransfer?.types.includes("Files")) event.preventDefault();  // else the browser leaves the page for the file
    shown(false);
    take(event.dataTransfer?.files, event);
  });
}
