// What an address asks of the gateway, and the sections that show the answers.

import { isCompared, parametersOf } from "./address.js";
import { ask } from "./api.js";
import { el } from "./elements.js";
import { short } from "./figures.js";
import { photoNamed } from "./photo.js";

export const NUM_ITEMS = 24;

// The answer of one release, or of the active one where `release` is empty.
export function similar(state, release, asking) {
  const parameters = parametersOf(state, release, NUM_ITEMS);
  if (!state.photo) return ask(`/v1/similar?${new URLSearchParams(parameters)}`, asking);
  return ask("/v1/similar/upload", { ...asking, method: "POST", form: formOf(state, parameters) });
}

export function browse(state, asking) {
  return ask(`/v1/items?${new URLSearchParams({ limit: NUM_ITEMS, seed: state.seed || 1 })}`, asking);
}

export function scored(state, release, explain, asking) {
  const choices = { ...(release && { release }), explain };
  if (!state.photo) return ask("/v1/score", { ...asking, method: "POST", json: { item_id: state.item, ...choices } });
  return ask("/v1/score/upload", { ...asking, method: "POST", form: formOf(state, Object.entries(choices)) });
}

function formOf(state, parameters) {
  const form = new FormData();
  parameters.forEach(([name, value]) => form.append(name, value));
  form.append("picture", photoNamed(state.photo).file);
  return form;
}

// The releases that an address names: two to compare, or one, where "" is whichever is active.
export const releasesOf = (state) => (isCompared(state) ? [state.left, state.right] : [""]);

export function released({ release_id, fingerprint }) {
  const code = (id) => el("code", { title: id }, short(id));
  return el("span", { class: "release" }, "Release ", code(release_id), " · vectors ", code(fingerprint));
}
