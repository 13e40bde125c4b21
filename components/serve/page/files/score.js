// The Image Score of the photo that is looked for, and what moves it.

import { showPicture } from "./api.js";
import { el, sized } from "./elements.js";
import { percent, score, signed } from "./figures.js";

const STATS = {
  brightness: { name: "Brightness", written: percent },
  sharpness: { name: "Sharpness", written: score },
  contrast: { name: "Contrast", written: score },
  text_share: { name: "Lettering", written: percent },
};

export function meter({ image_score, percentile }) {
  const values = { "aria-valuemin": 0, "aria-valuemax": 1, "aria-valuenow": image_score };
  const bar = el("span", { class: "meter", role: "meter", "aria-label": "Image Score", ...values });
  return [
    el("p", {}, "Image Score ", el("b", { class: "figure" }, score(image_score))),
    sized(bar, image_score),
    percentile != null && el("p", { class: "quiet" }, standing(percentile)),
  ];
}

function standing(percentile) {
  if (percentile < 0.01) return "Among the lowest scores of the catalogue";
  return `A better photo than ${percent(Math.min(percentile, 0.99))} of the catalogue, as the model sees it`;
}

// The photo under a grid of effects. The model sees the photo as a square, so the regions have the photo's own proportions.
export function heatMap({ rows, columns, effect }, picture) {
  const cells = effect.flat();
  const most = Math.max(...cells.map(Math.abs), 0.001);
  const overlay = el("div", { class: "regions", role: "img", "aria-label": inWords(effect) }, cells.map((value) =>
    sized(el("span", { class: value > 0 ? "helps" : "harms" }, el("b", {}, signed(value))), Math.abs(value) / most)));
  overlay.style.setProperty("--rows", rows);
  overlay.style.setProperty("--columns", columns);
  const image = el("img", { alt: "" });
  const map = el("div", { class: "map" }, image, overlay);
  image.addEventListener("load", () => map.style.setProperty("--ratio", image.naturalWidth / image.naturalHeight));
  showPicture(image, picture);
  return el("figure", {}, map, el("figcaption", {}, inWords(effect)));
}

function inWords(effect) {
  const places = effect.flatMap((row, down) => row.map((value, across) => ({ value, name: `row ${down + 1}, column ${across + 1}` })));
  const [best, worst] = [places.reduce((a, b) => (b.value > a.value ? b : a)), places.reduce((a, b) => (b.value < a.value ? b : a))];
  const helps = best.value > 0 && `${best.name} helps most (${signed(best.value)})`;
  const harms = worst.value < 0 && `${worst.name} harms most (${signed(worst.value)})`;
  const found = [helps, harms].filter(Boolean).join(", ");
  return found ? `${found[0].toUpperCase()}${found.slice(1)}.` : "No region matters by itself.";
}

export function howToRead() {
  return el("p", { class: "quiet" }, "Each region was painted over in the photo's mean colour and the photo scored again. ",
    el("span", { class: "key helps" }, "+ it raises the score"), " ", el("span", { class: "key harms" }, "− it lowers it"),
    ", in hundredths. The effects do not add up to the score.");
}

export function statistics(stats) {
  const known = Object.entries(STATS).filter(([name]) => stats[name]);
  return el("section", {},
    el("h3", {}, "The photo against the catalogue"),
    el("dl", {}, known.flatMap(([name, { name: words, written }]) => [
      el("dt", {}, words, " ", el("b", {}, written(stats[name].value))),
      el("dd", {}, stats[name].percentile == null ? "nothing to compare with" : [
        sized(el("span", { class: "track", "aria-hidden": "true" }), stats[name].percentile),
        el("span", { class: "quiet" }, `higher than ${percent(stats[name].percentile)} of photos`)]),
    ])));
}
