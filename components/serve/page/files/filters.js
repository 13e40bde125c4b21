// The filters' fields: they show the address, and change it. Categories are suggested from the items seen so far.

import { numFilters, withoutFilters } from "./address.js";
import { byId, el } from "./elements.js";
import { path } from "./figures.js";

const MAX_SEEN = 400;
const seen = new Map();  // "Clothing › Tops" in small letters: ["Clothing", "Tops"]

export function seeCategories(items) {
  for (const { category } of items) {
    for (let depth = 1; depth <= category.length && seen.size < MAX_SEEN; depth += 1) {
      const steps = category.slice(0, depth);
      seen.set(path(steps).toLowerCase(), steps);
    }
  }
  byId("categories").replaceChildren(...[...seen.values()].map(path).sort().map((value) => el("option", { value })));
}

// A typed category: a whole path, the last name of one that was seen, or names with › or > between them.
function pathTyped(typed) {
  const steps = typed.split(/[›>]/).map((step) => step.trim()).filter(Boolean);
  const wanted = path(steps).toLowerCase();
  return seen.get(wanted) ?? [...seen.values()].find((known) => known.at(-1).toLowerCase() === wanted) ?? steps;
}

export function showFilters(state) {
  byId("category").value = path(state.category);
  byId("min-price").value = state.min;
  byId("max-price").value = state.max;
  byId("status").value = state.status;
  byId("filter").textContent = numFilters(state) ? `Filters (${numFilters(state)})` : "Filters";
  byId("clear-filters").disabled = !numFilters(state);
}

export function listenForFilters(getState, go) {
  const read = () => ({
    category: pathTyped(byId("category").value), min: byId("min-price").value, max: byId("max-price").value, status: byId("status").value,
  });
  const changed = () => byId("filters").querySelectorAll(":invalid").length || go({ ...getState(), ...read() });
  ["category", "min-price", "max-price", "status"].forEach((id) => byId(id).addEventListener("change", changed));
  byId("clear-filters").addEventListener("click", () => go(withoutFilters(getState())));
  byId("filter").addEventListener("click", () => open(byId("filters").hidden));
  byId("filters").addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    open(false);
    byId("filter").focus();
  });
}

function open(visible) {
  byId("filters").hidden = !visible;
  byId("filter").setAttribute("aria-expanded", String(visible));
}
