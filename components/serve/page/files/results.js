// The section of items: some of the catalogue, one answer, or two side by side.

import { addressOf, hasQuery, isCompared, lookingFor } from "./address.js";
import { browse, NUM_ITEMS, released, releasesOf, similar } from "./answers.js";
import { differences, legend, mark, overlap, pairUp } from "./compare.js";
import { byId, el, say } from "./elements.js";
import { counted, milliseconds } from "./figures.js";
import { seeCategories } from "./filters.js";
import { grid, skeleton } from "./grid.js";
import { nothing, problem } from "./notices.js";

export async function showResults(state, { asking, go }) {
  wait(true);
  const shown = !hasQuery(state) ? catalogue : isCompared(state) ? sideBySide : single;
  const elements = await shown(state, asking, go);
  asking.signal.throwIfAborted();
  showInstead(...elements);
}

// Whatever comes last stands alone: a notice or an answer.
export function showInstead(...elements) {
  wait(false);
  byId("results").replaceChildren(...elements.filter(Boolean));
}

function wait(waiting) {
  const results = byId("results");
  results.setAttribute("aria-busy", String(waiting));
  if (waiting && !results.querySelector(".grid:not(.skeleton)")) results.replaceChildren(headed("Looking …"), skeleton(NUM_ITEMS));
}

export function showRelease(release) {
  byId("release").replaceChildren(released(release));
}

async function catalogue(state, asking, go) {
  const answer = await browse(state, asking);
  met(answer, `${counted(answer.items.length, "item", "items")} of the catalogue`);
  const on = { click: () => go({ ...state, seed: String(Number(state.seed || 1) + 1) }) };
  const others = el("button", { type: "button", class: "button", on }, "Show others");
  const head = headed("Some of the catalogue", answer, others);
  const hint = isCompared(state) && el("p", { class: "quiet hint" }, "Pick an item, type words or choose a photo: both releases answer.");
  if (!answer.items.length) return [head, nothing("The catalogue is empty", "Items that are upserted appear here.")];
  return [head, hint, grid(answer.items, { label: "Items", linkOf: linksOf(state) })];
}

async function single(state, asking) {
  const answer = await similar(state, "", asking);
  const found = `${counted(answer.items.length, "similar item", "similar items")}${state.text && ` for “${state.text}”`}`;
  met(answer, `${found}, ${milliseconds(answer.round_trip_ms)}`);
  const items = answer.items.length ? grid(answer.items, { label: "Similar items", linkOf: linksOf(state) }) : nothingFits();
  return [headed(found, answer), items];
}

function met(answer, said) {
  showRelease(answer);
  seeCategories(answer.items);
  say(said);
}

async function sideBySide(state, asking, go) {
  const asked = releasesOf(state).map((release) => similar(state, release, asking).catch((error) => failed(error, asking)));
  const answers = await Promise.all(asked);
  const [left, right] = answers.map((answer) => answer.items ?? []);
  seeCategories([...left, ...right]);
  const found = differences(left, right);
  const columns = ["left", "right"].map((side, number) => column(state, side, answers[number], found[side], go));
  const sides = el("div", { class: "sides" }, columns);
  pairUp(sides);
  const head = headed(`Two releases side by side${state.text && `: “${state.text}”`}`);
  if (answers.some((answer) => answer.error)) return [head, sides];
  say(`${found.num_shared} of ${found.num_places} items stand on both sides`);
  return [head, el("div", { class: "comparison" }, overlap(found), legend()), sides];
}

function failed(error, asking) {
  if (asking.signal.aborted) throw error;
  return { error };
}

function column(state, side, answer, gains, go) {
  const name = side === "left" ? "Left" : "Right";
  if (answer.error) return el("section", { "aria-label": name }, el("h3", {}, name), problem(answer.error, () => go(state)));
  const marked = { label: `Similar items, ${side} release`, linkOf: linksOf(state), marks: gains.map(mark) };
  return el("section", { "aria-label": name },
    el("div", { class: "head" }, el("h3", {}, `${name} `, released(answer)), took(answer)),
    answer.items.length ? grid(answer.items, marked) : nothingFits());
}

const nothingFits = () => nothing("Nothing fits", "Fewer filters or other words may find something.");

const linksOf = (state) => (item) => addressOf(lookingFor(state, { item: item.item_id }));

function headed(title, answer, ...rest) {
  return el("div", { class: "head" }, el("h2", {}, title), ...rest, answer && took(answer));
}

function took({ latency_ms, round_trip_ms }) {
  const inside = latency_ms == null ? "" : `${milliseconds(latency_ms)} in the gateway, `;
  return el("p", { class: "quiet latency" }, `${inside}${milliseconds(round_trip_ms)} there and back`);
}
