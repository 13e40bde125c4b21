// What the page shows, as its address: shareable, and what Back and Forward go through.

const EMPTY = { text: "", item: "", photo: "", category: [], min: "", max: "", status: "", left: "", right: "", explain: "", seed: "" };
const CHOSEN = ["text", "item", "photo"];

export function readAddress(search = location.search) {
  const given = new URLSearchParams(search);
  const state = Object.fromEntries(Object.keys(EMPTY).map((name) => [name, given.get(name) ?? ""]));
  return { ...state, category: given.getAll("category").filter(Boolean) };
}

export function addressOf(state) {
  const entries = Object.entries(state).flatMap(([name, value]) => [value].flat().map((one) => [name, one]));
  const search = new URLSearchParams(entries.filter(([, value]) => value !== "")).toString();
  return search ? `/?${search}` : "/";
}

// The same filters and releases with another query: { text }, { item } or { photo }, or none.
export function lookingFor(state, query = {}) {
  return { ...state, text: "", item: "", photo: "", seed: "", explain: "", ...query };
}

export const withoutFilters = (state) => ({ ...state, category: [], min: "", max: "", status: "" });
export const hasQuery = (state) => CHOSEN.some((name) => state[name]);
export const isCompared = (state) => Boolean(state.left && state.right);
export const numFilters = (state) => [state.category.length, state.min || state.max, state.status].filter(Boolean).length;

// The names and values of /v1/similar, as pairs: `category` comes once for each step of its path.
export function parametersOf(state, release, k) {
  const single = { item_id: state.item, text: state.text, min_price: state.min, max_price: state.max, status: state.status, release };
  const given = Object.entries(single).filter(([, value]) => value);
  return [["k", String(k)], ...given, ...state.category.map((name) => ["category", name])];
}
