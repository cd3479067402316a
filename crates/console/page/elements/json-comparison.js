// The lines of a comparison, side by side, or one below the other where there is no room.

import { h } from "../dom.js";
import { count, counted } from "../format.js";
import { iconButton } from "./find-bar.js";
import { icon } from "./icon.js";
import { diffJson } from "./json-diff.js";
import { keyText, valueText } from "./json-tree.js";
import { Lines } from "./lines.js";

/** @typedef {import("./json-doc.js").JsonDoc} JsonDoc */
/** A line that is shown; `at` is the difference that it belongs to. @typedef {import("./json-diff.js").DiffLine & { at: number }} Shown */

/** Below this width, in pixels, the sides are one below the other. */
const NARROW = 640;
/** Levels that are indented. */
const INDENTED = 20;

/** @param {JsonDoc} left @param {JsonDoc} right @param {string} what */
export function jsonComparison(left, right, what) {
  const all = diffJson(left, right);
  /** @type {Shown[]} */
  let shown = [];
  /** Lines that are unfolded, by their values. @type {Set<string>} */
  const open = new Set();
  let [current, total, isNarrow] = [-1, 0, false];
  const said = h("span", { class: "muted grows", role: "status" });
  const lines = new Lines({
    label: `Differences of the ${what}`,
    look: "json diff",
    line: (index) => line(index),
    onSize: () => {
      if (isNarrow === lines.element.clientWidth < NARROW) return;
      isNarrow = !isNarrow;
      lines.element.classList.toggle("narrow", isNarrow);
      arrange();
    },
  });

  const arrange = () => {
    shown = [];
    total = 0;
    for (const line of all) {
      const isSame = line.kind === "same" || line.kind === "inside";
      add(line, isSame ? -1 : total++);
    }
    lines.setCount(shown.length);
  };

  /** Adds a line, and what it contains if it is unfolded. @param {import("./json-diff.js").DiffLine} line @param {number} at */
  const add = (line, at) => {
    if (line.kind === "changed" && isNarrow) {
      add({ ...line, kind: "removed", right: -1 }, at);
      add({ ...line, kind: "added", left: -1 }, at);
      return;
    }
    // Without recursion: it may be deep.
    const todo = [line];
    for (let next = todo.pop(); next; next = todo.pop()) {
      shown.push({ ...next, at });
      if (open.has(keyOf(next))) todo.push(...inside(next).reverse());
    }
  };

  /** @param {import("./json-diff.js").DiffLine} line @returns {import("./json-diff.js").DiffLine[]} */
  const inside = ({ kind, left: a, right: b, depth }) => {
    const mine = a >= 0 ? [...left.children(a)] : [];
    const theirs = b >= 0 ? [...right.children(b)] : [];
    const of = (/** @type {"same" | "removed" | "added"} */ kind, /** @type {number} */ left, /** @type {number} */ right) => ({ kind, left, right, depth: depth + 1 });
    if (kind !== "same") return [...mine.map((child) => of("removed", child, -1)), ...theirs.map((child) => of("added", -1, child))];
    const byName = new Map(theirs.map((child) => [right.name(child), child]));
    return mine.map((child, index) => of("same", child, (left.name(child) === null ? undefined : byName.get(left.name(child))) ?? theirs[index]));
  };

  /** @param {number} index */
  const line = (index) => {
    const { kind, left: a, right: b, depth, at } = shown[index];
    const isOpen = kind === "inside" || open.has(keyOf(shown[index]));
    const side = (/** @type {JsonDoc} */ doc, /** @type {number} */ value, /** @type {string} */ sign, /** @type {string} */ said) => {
      if (value < 0) return isNarrow ? null : h("div", { class: "side none" });
      const folds = kind !== "inside" && doc.isContainer(value) && doc.sizes[value] > 0;
      const label = isOpen ? "Fold" : "Unfold";
      const fold = folds
        ? h("button", { class: "fold", type: "button", "aria-expanded": String(isOpen), "aria-label": label, onclick: () => toggle(index) }, icon(isOpen ? "down" : "right"))
        : h("span", { class: "fold" });
      const cell = h("div", { class: "side" }, h("span", { class: "sign", "aria-hidden": "true" }, sign), sign && h("span", { class: "hush" }, said), fold, keyText(doc, value), valueText(doc, value, isOpen));
      cell.style.paddingInlineStart = `${20 + Math.min(depth, INDENTED) * 14}px`;
      return cell;
    };
    const [minus, plus] = [kind === "changed" || kind === "removed" ? "−" : "", kind === "changed" || kind === "added" ? "+" : ""];
    const isBoth = a >= 0 && b >= 0;
    return h("div", { class: `line ${kind}${at >= 0 && at === current ? " selected" : ""}` }, side(left, a, minus, "left: "), (!isNarrow || !isBoth) && side(right, b, plus, "right: "));
  };

  const toggle = (/** @type {number} */ index) => {
    const key = keyOf(shown[index]);
    if (!open.delete(key)) open.add(key);
    arrange();
    lines.element.focus({ preventScroll: true });
  };

  const step = (/** @type {boolean} */ forwards) => {
    if (total === 0) return;
    current = forwards ? (current + 1) % total : (Math.max(current, 0) - 1 + total) % total;
    said.textContent = `${count(current + 1)} of ${counted(total, "difference")}`;
    lines.reveal(shown.findIndex(({ at }) => at === current));
    lines.draw();
  };

  arrange();
  said.textContent = total === 0 ? `The ${what} are the same.` : counted(total, "difference");
  const steps = total > 0 && [iconButton("up", "Previous difference (N)", () => step(false)), iconButton("down", "Next difference (n)", () => step(true))];
  const element = h("div", { class: "fills" }, h("div", { class: "find-bar" }, said, steps), lines.element);
  return { element, lines, step, leave: () => lines.leave() };
}

/** @param {import("./json-diff.js").DiffLine} line */
const keyOf = ({ left, right }) => `${left} ${right}`;
