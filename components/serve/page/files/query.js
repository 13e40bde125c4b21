// The section that shows what is looked for, an item or a photo, with its Image Score and what moves it.

import { addressOf, lookingFor } from "./address.js";
import { ask, showPicture } from "./api.js";
import { released, releasesOf, scored } from "./answers.js";
import { byId, el } from "./elements.js";
import { path, price } from "./figures.js";
import { busy, problem } from "./notices.js";
import { photoNamed } from "./photo.js";
import { heatMap, howToRead, meter, statistics } from "./score.js";

export async function showQuery(state, { asking, go }) {
  const { title, about, picture } = await subject(state, asking);
  asking.signal.throwIfAborted();
  document.title = `${title} · Vitrine`;
  const image = el("img", { alt: title });
  showPicture(image, picture);
  const sides = releasesOf(state).map(() => ({ score: el("div", { class: "score waiting" }), map: el("div") }));
  const explained = el("div", { class: "explained", hidden: !state.explain }, sides.map(({ map }) => map));
  byId("query").hidden = false;
  byId("query").replaceChildren(el("div", { class: "subject" },
    el("div", { class: "photo" }, image),
    el("div", { class: "about" }, el("h2", { tabindex: -1, dir: "auto" }, title), about && el("p", { class: "quiet", dir: "auto" }, about)),
    el("div", { class: "scores" }, sides.map(({ score }) => score)),
    el("p", { class: "row" }, explainButton(state, go), toCatalogue(state))), explained);
  releasesOf(state).forEach((release, number) => fill(sides[number], { release, state, picture, explained, asking, go }));
}

async function subject(state, asking) {
  if (state.photo) return { title: "Your photo", picture: photoNamed(state.photo).url };
  const { item } = await ask(`/v1/items/${encodeURIComponent(state.item)}`, { signal: asking.signal });
  const facts = [price(item.price, item.currency), path(item.category)].filter(Boolean).join(" · ");
  return { title: item.title || "(no title)", about: facts, picture: item.picture };
}

function explainButton(state, go) {
  const on = { click: () => go({ ...state, explain: state.explain ? "" : "1" }, "#explain") };
  return el("button", { type: "button", class: "button", id: "explain", "aria-expanded": String(Boolean(state.explain)), on },
    state.explain ? "Hide what moves the score" : "What moves the score?");
}

const toCatalogue = (state) => el("a", { class: "button", href: addressOf(lookingFor(state)) }, "Back to the catalogue");

// One release's score. The statistics belong to the photo, so they are shown once, whichever release answers last.
async function fill({ score, map }, { release, state, picture, explained, asking, go }) {
  try {
    const onWait = (seconds) => score.replaceChildren(busy(seconds));
    const answer = await scored(state, release, Boolean(state.explain), { ...asking, onWait });
    asking.signal.throwIfAborted();
    const whose = release && el("p", {}, released(answer));
    score.classList.remove("waiting");
    score.replaceChildren(...[whose, ...meter(answer)].filter(Boolean));
    if (!answer.explanation) return;
    map.replaceChildren(...[release && el("h3", {}, released(answer)), heatMap(answer.explanation.regions, picture)].filter(Boolean));
    explained.querySelector(".stats")?.remove();
    explained.append(el("div", { class: "stats" }, howToRead(), statistics(answer.explanation.stats)));
  } catch (error) {
    if (error.name !== "AbortError") score.replaceChildren(problem(error, () => go(state)));
  }
}
