// Text of any length, wrapped, with its control characters visible.

import { h, recorded } from "../dom.js";
import { findBar } from "./find-bar.js";
import { Lines } from "./lines.js";

/** The most matches that are listed. */
const MOST = 100_000;

/** @param {string} text @param {string} label @param {import("../dom.js").Children} [tools] */
export function textView(text, label, tools) {
  /** Where each line starts, and at last where the text ends. */
  let starts = new Int32Array(1);
  let columns = 0;
  /** @type {number[]} */
  let found = [];
  let [length, at] = [0, -1];
  const part = (/** @type {string} */ text) => recorded(text, { longest: Infinity, lines: true });
  const lineAt = (/** @type {number} */ offset) => {
    let [low, high] = [0, starts.length - 2];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle] <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  };
  const lines = new Lines({
    label,
    look: "text",
    line: (index) => {
      const [start, end] = [starts[index], starts[index + 1]];
      const shown = text.slice(start, end).replace(/\r?\n$/, "");
      const from = Math.max(0, found[at] - start);
      const to = Math.max(0, found[at] + length - start);
      return h("div", { class: "line" }, from < to && from < shown.length ? [part(shown.slice(0, from)), h("mark", null, part(shown.slice(from, to))), part(shown.slice(to))] : part(shown));
    },
    onSize: () => {
      const fits = Math.max(20, Math.floor((lines.element.clientWidth - 24) / letterWidth(lines.element)));
      if (fits === columns) return;
      const first = starts[Math.floor(lines.top)];
      columns = fits;
      starts = lineStarts(text, columns);
      lines.setCount(starts.length - 1);
      if (first > 0) lines.scrollTo(lineAt(first));
    },
  });
  const show = (/** @type {number} */ match) => {
    at = match;
    if (at >= 0) lines.reveal(lineAt(found[at]));
    lines.draw();
  };
  const step = (/** @type {boolean} */ forwards) => {
    if (found.length === 0) return;
    show((at + (forwards ? 1 : -1) + found.length) % found.length);
    find.say(at, found.length, true);
  };
  const find = findBar(
    `Search ${label}`,
    (wanted) => {
      found = [];
      length = wanted.length;
      const pattern = new RegExp(wanted.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), "giu");
      for (let match = wanted && pattern.exec(text); match && found.length < MOST; match = pattern.exec(text)) found.push(match.index);
      show(found.length > 0 ? 0 : -1);
      find.say(at, found.length, wanted !== "");
    },
    step,
    tools,
  );
  const element = h("div", { class: "fills" }, find.element, lines.element);
  return { element, lines, step, move: (/** @type {number} */ by) => lines.scrollBy(by), focusSearch: find.focus, leave: () => lines.leave() };
}

/**
 * Where the lines of a text start if none has more than `columns` characters, and at last where the text ends.
 * @param {string} text @param {number} columns
 */
export function lineStarts(text, columns) {
  const starts = [];
  for (let at = 0; at < text.length; ) {
    const found = text.indexOf("\n", at);
    const end = found < 0 ? text.length : found + 1;
    while (at < end) {
      starts.push(at);
      at += columns;
      // The end of a line isn't a line of its own, and no character is cut in half.
      if (at >= end - 2 && text.slice(at, end).trim() === "") at = end;
      else if ((text.charCodeAt(at) & 0xfc00) === 0xdc00) at++;
    }
    at = end;
  }
  starts.push(text.length);
  return Int32Array.from(starts);
}

/** The width of a letter there, in pixels. @param {HTMLElement} element */
function letterWidth(element) {
  const probe = h("span", { class: "line probe" }, "0".repeat(50));
  element.append(probe);
  const { width } = probe.getBoundingClientRect();
  probe.remove();
  return width / 50 || 8;
}
