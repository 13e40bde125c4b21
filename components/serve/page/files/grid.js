// A grid of items: photo first, one stop of the Tab key, arrow keys inside.

import { showPicture } from "./api.js";
import { el, sized } from "./elements.js";
import { cosine, price, score } from "./figures.js";

const STATUS = { sold: "Sold", deleted: "Deleted" };

// `marks` (one for each item, or none) are elements that say how this place differs; linkOf gives the address of "more like this".
export function grid(items, { label, linkOf, marks = [] }) {
  const tiles = items.map((item, place) => tile(item, linkOf(item), marks[place]));
  const list = el("ul", { class: "grid", "aria-label": label, role: "list" }, tiles);
  roving(list);
  return list;
}

function tile(item, href, mark) {
  const image = el("img", { alt: item.title, loading: "lazy", decoding: "async" });
  const about = { "data-item": item.item_id, "data-mark": mark?.dataset.mark, title: item.title, "aria-label": spoken(item, mark) };
  const link = el("a", { href, class: "tile", tabindex: -1, ...about },
    el("span", { class: "photo" }, image, STATUS[item.status] && el("span", { class: "status" }, STATUS[item.status])),
    mark,
    el("span", { class: "price" }, price(item.price, item.currency)),
    el("span", { class: "title", dir: "auto" }, item.title || "(no title)"),
    el("span", { class: "facts" },
      item.cosine != null && fact("Cosine", cosine(item.cosine)),
      item.image_score != null && sized(fact("Score", score(item.image_score), "scored"), item.image_score)));
  showPicture(image, item.picture);
  return el("li", {}, link);
}

function spoken(item, mark) {
  const facts = [item.title || "No title", price(item.price, item.currency), STATUS[item.status]];
  if (item.cosine != null) facts.push(`cosine ${cosine(item.cosine)}`);
  if (item.image_score != null) facts.push(`Image Score ${score(item.image_score)}`);
  return [...facts, mark?.title].filter(Boolean).join(", ");
}

const fact = (name, value, kind = "") => el("span", { class: `fact ${kind}` }, `${name} `, el("b", {}, value));

export function skeleton(count) {
  const tiles = Array.from({ length: count }, () => el("li", {}, el("span", { class: "tile" }, el("span", { class: "photo" }),
    el("span", { class: "bone" }), el("span", { class: "bone brief" }))));
  return el("ul", { class: "grid skeleton", "aria-hidden": "true" }, tiles);
}

// One tile is in the Tab order, the one last visited; arrows, Home and End move between tiles, Space follows the link as Enter does.
function roving(list) {
  const links = [...list.querySelectorAll("a")];
  if (links.length) links[0].tabIndex = 0;
  list.addEventListener("focusin", ({ target }) => links.forEach((link) => (link.tabIndex = link === target ? 0 : -1)));
  list.addEventListener("keydown", (event) => {
    const at = links.indexOf(event.target);
    if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " ") {
      event.preventDefault();
      event.target.click();
      return;
    }
    const row = columns(links);
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -row, ArrowDown: row, Home: -at, End: links.length - 1 - at }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    links[at + step]?.focus();
  });
}

function columns(links) {
  const second = links.findIndex((link) => link.getBoundingClientRect().top > links[0].getBoundingClientRect().top + 1);
  return second < 0 ? links.length : second;
}
