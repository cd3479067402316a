// Where an exchange's time went.

import { h } from "../dom.js";
import { duration } from "../format.js";

/**
 * @typedef {{ forwarded: number | null, responseHead: number | null, responseEnd: number | null }} TimesUs
 * @typedef {{ name: string, from: number, until: number, kind: string, about: string }} Phase
 */

/**
 * The phases that the recorded times tell, in microseconds from the request's head.
 * @param {TimesUs} times @param {number} waitedMs
 * @returns {Phase[]}
 */
export function phases({ forwarded, responseHead, responseEnd }, waitedMs) {
  /** @type {Phase[]} */
  const all = [];
  const end = responseEnd ?? responseHead ?? forwarded ?? 0;
  const before = forwarded ?? end;
  const waited = Math.min(waitedMs * 1000, before);
  if (waited > 0) all.push({ name: "Waited for the limit", from: 0, until: waited, kind: "wait", about: "held back until there was room in the window" });
  if (forwarded === null) {
    all.push({ name: "Answered here", from: waited, until: end, kind: "own", about: "not forwarded to Mews" });
    return all;
  }
  all.push({ name: "Received, connected", from: waited, until: forwarded, kind: "own", about: "until the request was handed to the connection" });
  if (responseHead !== null) all.push({ name: "Mews", from: forwarded, until: responseHead, kind: "mews", about: "until the response's head arrived" });
  if (responseEnd !== null) {
    const from = responseHead ?? forwarded;
    const name = responseHead === null ? "Without a response" : "Response";
    all.push({ name, from, until: responseEnd, kind: responseHead === null ? "wait" : "body", about: responseHead === null ? "until the attempt ended" : "until the body ended" });
  }
  return all;
}

/** @param {TimesUs} times @param {number} waitedMs */
export function waterfall(times, waitedMs) {
  const all = phases(times, waitedMs);
  const total = Math.max(1, ...all.map(({ until }) => until));
  const rows = all.map(({ name, from, until, kind, about }) => {
    const bar = h("span", { class: `wf-bar ${kind}` });
    bar.style.insetInlineStart = `${(from / total) * 100}%`;
    bar.style.inlineSize = `max(2px, ${((until - from) / total) * 100}%)`;
    return h(
      "tr",
      { title: about },
      h("th", { scope: "row" }, name, h("span", { class: "hush" }, `, ${about}`)),
      h("td", { class: "wf-track" }, h("div", null, bar)),
      h("td", { class: "right" }, duration(until - from)),
      h("td", { class: "right muted" }, duration(until)),
    );
  });
  const names = ["Phase", "", "Took", "At"].map((name) => h("th", { scope: "col", class: name === "Took" || name === "At" ? "right" : null }, name || h("span", { class: "hush" }, "Share")));
  return h("table", { class: "waterfall" }, h("caption", { class: "hush" }, "Time from the request's head"), h("thead", null, h("tr", null, names)), h("tbody", null, rows));
}
