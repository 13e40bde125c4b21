// The page: an address says what is shown; whatever a person does makes a new address.

import { addressOf, isCompared, lookingFor, readAddress } from "./address.js";
import { ask, forgetKey } from "./api.js";
import { byId, el, say } from "./elements.js";
import { short } from "./figures.js";
import { listenForFilters, showFilters } from "./filters.js";
import { busy, nothing, problem } from "./notices.js";
import { keep, listenForPhotos, photoNamed } from "./photo.js";
import { showQuery } from "./query.js";
import { showInstead, showRelease, showResults } from "./results.js";

let state = readAddress();
let releases = [];
let running = new AbortController();

// Goes to another address; `focus` is a selector of what then has the focus.
function go(next, focus) {
  const explains = next.explain !== state.explain && addressOf({ ...next, explain: state.explain }) === addressOf(state);
  if (addressOf(next) !== addressOf(state)) history.pushState(null, "", addressOf(next));
  state = next;
  return show(focus, !explains || byId("results").ariaBusy === "true");  // what explains the score leaves the items as they are
}

async function show(focus, withResults = true) {
  running.abort();
  running = new AbortController();
  const asking = { signal: running.signal, onWait: (seconds) => byId("results").replaceChildren(busy(seconds)) };
  reflect();
  try {
    if (state.photo && !photoNamed(state.photo)) showLost();
    else await Promise.all([showSubject(asking), withResults && showResults(state, { asking, go })]);
    if (focus) document.querySelector(focus)?.focus({ preventScroll: true });
  } catch (error) {
    if (asking.signal.aborted) return;
    running.abort();
    showInstead(problem(error, () => show()));
  }
}

// The form as the address has it.
function reflect() {
  byId("text").value = state.text;
  showFilters(state);
  byId("compare").setAttribute("aria-pressed", String(isCompared(state)));
  byId("releases").hidden = !isCompared(state);
  byId("left").value = state.left;
  byId("right").value = state.right;
}

async function showSubject(asking) {
  if (state.item || state.photo) return showQuery(state, { asking, go });
  byId("query").hidden = true;
  byId("query").replaceChildren();
  document.title = state.text ? `${state.text} · Vitrine` : "Vitrine";
}

function showLost() {
  byId("query").hidden = true;
  showInstead(nothing("The photo is gone", "Photos stay in the tab's memory and are not part of an address. Choose the photo again."));
}

async function showReleases() {
  const { active, releases: found } = await ask("/v1/releases");
  releases = found.filter((release) => release.complete).sort((a, b) => b.active - a.active);
  const named = releases.find((release) => release.release_id === active);
  if (named) showRelease(named);
  for (const id of ["left", "right"]) byId(id).replaceChildren(...releases.map(option));
  reflect();
}

function option({ release_id, created_at, active }) {
  return el("option", { value: release_id }, `${short(release_id)}, ${String(created_at).slice(0, 10)}${active ? ", active" : ""}`);
}

function toggleCompare() {
  if (isCompared(state)) return go({ ...state, left: "", right: "" });
  if (!releases.length) return say("No release is there to compare");
  return go({ ...state, left: releases[0].release_id, right: (releases[1] ?? releases[0]).release_id });
}

function isOurs(link, event) {
  const elsewhere = event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
  return link?.origin === location.origin && link.pathname === "/" && !link.hash && !elsewhere;
}

function listen() {
  window.addEventListener("popstate", () => { state = readAddress(); show(); });
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href]");
    if (!isOurs(link, event)) return;
    event.preventDefault();
    const next = readAddress(link.search);
    window.scrollTo({ top: 0 });
    go(next, next.item ? "#query h2" : "#results");
  });
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = byId("text").value.trim();
    go(lookingFor(state, { text }));
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, select, textarea, dialog");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      byId("text").focus();
    }
    if (event.key === "Escape" && !typing && state.explain) go({ ...state, explain: "" }, "#explain");
  });
  byId("compare").addEventListener("click", toggleCompare);
  for (const side of ["left", "right"]) byId(side).addEventListener("change", (event) => go({ ...state, [side]: event.target.value }));
  byId("forget-key").addEventListener("click", () => { forgetKey(); show(); });
  listenForFilters(() => state, go);
  listenForPhotos((file) => go(lookingFor(state, { photo: keep(file) }), "#query h2"));
}

listen();
showReleases().catch((error) => say(`The releases are not known: ${error.message}`));
show();
