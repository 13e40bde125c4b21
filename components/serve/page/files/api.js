// Questions to the gateway: the API key, waiting when it is busy, and its problems (RFC 9457).

import { byId } from "./elements.js";

const KEY = "vitrine-api-key";
const MAX_ASKS = 6;
const MAX_WAIT_S = 60;
const PICTURE_RETRY_MS = 2000;

export class Problem extends Error {
  constructor({ title, detail = "", status = 0, code = "", request_id: requestId = "" }) {
    super(title);
    Object.assign(this, { title, detail, status, code, requestId });
  }
}

// The answer with round_trip_ms. `onWait` is told how many seconds it waits when the gateway is busy. Throws Problem, or AbortError.
export async function ask(path, { method = "GET", json, form, signal, onWait = () => {} } = {}) {
  for (let asks = 1; ; asks += 1) {
    const began = performance.now();
    const response = await send(path, { method, json, form, signal });
    if (response.ok) {
      const answer = await answered(response);
      return { ...answer, round_trip_ms: performance.now() - began };
    }
    const problem = await problemOf(response);
    if (response.status === 401 && (await keyFor(problem))) continue;
    if (response.status !== 429 || asks === MAX_ASKS) throw problem;
    await wait(waitOf(response), signal, onWait);
  }
}

async function send(path, { method, json, form, signal }) {
  const headers = { Accept: "application/json", ...keyHeader() };
  if (json) headers["Content-Type"] = "application/json";
  try {
    return await fetch(path, { method, headers, body: json ? JSON.stringify(json) : form, signal, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ title: "The gateway cannot be reached", detail: "It may be stopped, or the way to it is broken." });
  }
}

async function answered(response) {
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ title: "The answer cannot be read", detail: "It is not JSON.", status: response.status });
  }
}

async function problemOf(response) {
  const fallback = { title: `The gateway answered with status ${response.status}`, status: response.status };
  const body = await response.json().catch(() => ({}));
  return new Problem(body.title ? { ...fallback, ...body } : fallback);
}

function waitOf(response) {
  const seconds = Number(response.headers.get("Retry-After"));
  return Math.min(MAX_WAIT_S, Math.max(1, Number.isFinite(seconds) ? Math.ceil(seconds) : 1));
}

async function wait(seconds, signal, onWait) {
  for (let left = seconds; left > 0; left -= 1) {
    onWait(left);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    signal?.throwIfAborted();
  }
}

const keyHeader = () => (sessionStorage.getItem(KEY) ? { "X-API-Key": sessionStorage.getItem(KEY) } : {});

export function forgetKey() {
  sessionStorage.removeItem(KEY);
  byId("forget-key").hidden = true;
}

let asking = null;  // several questions may be refused at once: one dialog serves them all

function keyFor(problem) {
  asking ??= askForKey(problem).finally(() => (asking = null));
  return asking;
}

function askForKey(problem) {
  forgetKey();
  const [dialog, input] = [byId("key-dialog"), byId("key")];
  byId("key-title").textContent = problem.title;
  byId("key-problem").textContent = problem.code === "key_missing" ? "" : problem.detail;  // that detail is for whoever writes a client
  input.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  byId("key-cancel").onclick = () => dialog.close("");
  dialog.querySelector("form").onsubmit = () => sessionStorage.setItem(KEY, input.value.trim());
  return new Promise((resolve) => {
    dialog.onclose = () => {
      byId("forget-key").hidden = !keyHeader()["X-API-Key"];
      input.value = "";
      resolve(Boolean(keyHeader()["X-API-Key"]));
    };
  });
}

// Shows a picture, asked for twice. An <img> cannot send a key, so with one the bytes are fetched and shown from memory.
export async function showPicture(image, path, asks = 2) {
  try {
    await (path.startsWith("/v1/") && keyHeader()["X-API-Key"] ? showFetched(image, path) : showLoaded(image, path));
  } catch {
    if (asks === 1) return image.parentElement?.classList.add("missing");
    await new Promise((resolve) => setTimeout(resolve, PICTURE_RETRY_MS));
    await showPicture(image, path, asks - 1);
  }
}

function showLoaded(image, path) {
  return new Promise((resolve, reject) => {
    Object.assign(image, { onload: resolve, onerror: reject, src: path });
  });
}

async function showFetched(image, path) {
  const response = await fetch(path, { headers: keyHeader() });
  if (!response.ok) throw new Error(response.status);
  const url = URL.createObjectURL(await response.blob());
  await showLoaded(image, url).finally(() => URL.revokeObjectURL(url));
}
