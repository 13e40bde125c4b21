// Two answers to one question side by side, and how they differ.

import { el, sized } from "./elements.js";
import { percent } from "./figures.js";

// For each place on a side: null where the item stands on that side alone, else how many places higher it stands here than there.
export function differences(left, right) {
  const places = (items) => new Map(items.map((item, place) => [item.item_id, place]));
  const gains = (items, there) => items.map((item, place) => (there.has(item.item_id) ? there.get(item.item_id) - place : null));
  const sides = { left: gains(left, places(right)), right: gains(right, places(left)) };
  const num_shared = sides.left.filter((gain) => gain !== null).length;
  return { ...sides, num_shared, num_places: Math.max(left.length, right.length) };
}

const KINDS = {
  only: { sign: "◆", legend: "only on this side" },
  up: { sign: "▲", legend: "places higher here" },
  down: { sign: "▼", legend: "places lower here" },
  same: { sign: "=", legend: "same place" },
};

const kindOf = (gain) => (gain === null ? "only" : gain > 0 ? "up" : gain < 0 ? "down" : "same");

export function mark(gain) {
  const kind = kindOf(gain);
  const words = { only: "only here", same: "same" }[kind] ?? String(Math.abs(gain));
  const title = gain ? `${Math.abs(gain)} ${KINDS[kind].legend} than on the other side` : KINDS[kind].legend;
  return el("span", { class: `mark ${kind}`, "data-mark": kind, title }, `${KINDS[kind].sign} ${words}`);
}

export function overlap({ num_shared, num_places }) {
  const share = num_places ? num_shared / num_places : 1;
  return el("div", { class: "overlap" },
    el("p", {}, el("b", {}, `${num_shared} of ${num_places}`), ` items stand on both sides (${percent(share)})`),
    sized(el("span", { class: "bar", "aria-hidden": "true" }), share));
}

export function legend() {
  return el("ul", { class: "legend", "aria-label": "What the marks mean" }, Object.entries(KINDS).map(([kind, { sign, legend: words }]) =>
    el("li", {}, el("span", { class: `mark ${kind}` }, sign), ` ${words}`)));
}

// Whoever points at an item, or comes to it by keyboard, sees where it stands on the other side.
export function pairUp(container) {
  const show = (event) => {
    const item = event.target.closest?.("[data-item]")?.dataset.item;
    for (const link of container.querySelectorAll("[data-item]")) link.classList.toggle("twin", link.dataset.item === item);
  };
  ["mouseover", "focusin", "mouseleave"].forEach((name) => container.addEventListener(name, show));
}
