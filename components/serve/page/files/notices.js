// What stands where items would: nothing found, a problem, a busy gateway.

import { el, say } from "./elements.js";

const notice = (kind, title, ...rest) => el("div", { class: `notice ${kind}` }, el("p", { class: "notice-title" }, title), ...rest);

export function problem(error, retry) {
  say(`${error.title ?? error.message}. ${error.detail ?? ""}`);
  return notice("problem", error.title ?? "The page went wrong",
    el("p", {}, error.detail ?? String(error)),
    error.requestId && el("p", { class: "quiet" }, "Request ", el("code", {}, error.requestId)),
    el("p", {}, el("button", { type: "button", class: "button", on: { click: retry } }, "Try again")));
}

export function busy(seconds) {
  return notice("busy", "The gateway is busy", el("p", {}, `Trying again in ${seconds} s.`));
}

export function nothing(title, detail) {
  return notice("empty", title, el("p", {}, detail));
}
