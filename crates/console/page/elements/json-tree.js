// JSON as a tree that folds, is searched, and gives a value or its pointer to copy.

import { h, recorded, visible } from "../dom.js";
import { count, counted } from "../format.js";
import { copyText } from "./copy.js";
import { dialog } from "./dialog.js";
import { findBar } from "./find-bar.js";
import { icon } from "./icon.js";
import { LINE, Lines } from "./lines.js";
import { textView } from "./text-view.js";

/** @typedef {import("./json-doc.js").JsonDoc} JsonDoc */
/** @typedef {{ pointer: string, text: string }} Remark */

/** More lines than this aren't all unfolded at first. */
const UNFOLDED = 3000;
/** Characters of a value on its line. */
const LONGEST = 400;
/** Levels that are indented; deeper ones say their number. */
const INDENTED = 30;

/** Trees so far, so that each has ids of its own. */
let trees = 0;

/**
 * A value's name or position. @param {JsonDoc} doc @param {number} value @param {(text: string, longest: number) => import("../dom.js").Children} [text]
 */
export function keyText(doc, value, text = (text, longest) => recorded(text, { longest })) {
  const name = doc.name(value);
  return value > 0 && h("span", { class: name === null ? "index" : "name" }, text(name ?? String(doc.indexes[value]), 120), ":");
}

/**
 * A value on its line; of a container how much is in it.
 * @param {JsonDoc} doc @param {number} value @param {boolean} isOpen @param {(text: string, longest: number) => import("../dom.js").Children} [text]
 */
export function valueText(doc, value, isOpen, text = (text, longest) => recorded(text, { longest })) {
  const kind = doc.kind(value);
  if (doc.isContainer(value)) {
    const length = doc.sizes[value];
    const [sides, what] = kind === "{" ? ["{}", counted(length, "property", "properties")] : ["[]", counted(length, "item")];
    return h("span", { class: "sum" }, length === 0 ? sides : [isOpen ? sides[0] : `${sides[0]}…${sides[1]}`, " ", h("span", { class: "muted" }, what)]);
  }
  const scalar = doc.scalar(value);
  if (kind !== '"') return h("span", { class: /[tfn]/.test(kind) ? "word" : "num" }, text(scalar, LONGEST));
  return [h("span", { class: "str" }, '"', text(scalar, LONGEST), '"'), scalar.length > LONGEST && h("span", { class: "more" }, `${count(scalar.length)} characters`)];
}

export class JsonTree {
  /** What is shown: values, and after them their remarks as `-1 - index`. */
  #lines = new Int32Array(0);
  #selected = 0;
  /** @type {number[]} */
  #found = [];
  #query = "";
  /** Remarks by the value that they are shown at. @type {Map<number, number[]>} */
  #remarksAt = new Map();

  /** @param {JsonDoc} doc @param {import("../app.js").Context} ctx @param {{ label: string, remarks?: Remark[], tools?: import("../dom.js").Child }} options */
  constructor(doc, ctx, { label, remarks = [], tools }) {
    this.doc = doc;
    this.ctx = ctx;
    this.name = `tree-${trees++}`;
    this.remarks = remarks;
    this.open = opened(doc);
    this.lines = new Lines({ label, look: "json", role: "tree", line: (index) => this.#line(index) });
    this.lines.element.addEventListener("mousedown", (event) => this.#press(event));
    const fold = h("button", { class: "button quiet small", type: "button", title: "Fold or unfold all (z)", onclick: () => this.foldAll() }, "Fold all");
    this.find = findBar(`Search ${label}`, (text) => this.#search(text), (forwards) => this.step(forwards), [fold, tools]);
    this.where = h("span", { class: "json-where" });
    const button = (/** @type {string} */ text, /** @type {string} */ title, /** @type {() => void} */ onclick) =>
      h("button", { class: "button quiet small", type: "button", title, onclick }, text);
    this.whole = button("Show all", "Show the whole value", () => this.showWhole());
    const foot = h(
      "div",
      { class: "json-foot" },
      this.where,
      this.whole,
      h("span", { class: "muted" }, "Copy"),
      button("value", "Copy the value (c)", () => this.copyValue()),
      button("pointer", "Copy the JSON pointer (p)", () => this.copyPointer()),
    );
    this.element = h("div", { class: "fills" }, this.find.element, this.lines.element, foot);
    for (const [index, { pointer }] of remarks.entries()) {
      const { value } = doc.find(pointer);
      this.#remarksAt.set(value, [...(this.#remarksAt.get(value) ?? []), index]);
      this.#unfoldTo(value);
    }
    this.#arrange();
    this.#select(0);
  }

  /** Lists the lines anew. */
  #arrange() {
    const { doc, open } = this;
    const lines = new Int32Array(doc.count + this.remarks.length);
    let length = 0;
    for (let value = 0; value < doc.count; value = open[value] ? value + 1 : doc.nexts[value]) {
      lines[length++] = value;
      for (const remark of this.#remarksAt.get(value) ?? []) lines[length++] = -1 - remark;
    }
    this.#lines = lines.subarray(0, length);
    this.lines.setCount(length);
  }

  /** The value of a line; a remark's is the one before it. @param {number} line */
  #valueAt(line) {
    while (this.#lines[line] < 0) line--;
    return this.#lines[line];
  }

  /** The line of a value; that of the folded one around it, if it isn't shown. @param {number} value */
  #lineOf(value) {
    let [low, high] = [0, this.#lines.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#valueAt(middle) <= value) low = middle;
      else high = middle - 1;
    }
    while (this.#lines[low] < 0) low--;
    return low;
  }

  /** @param {number} index */
  #line(index) {
    const { doc } = this;
    const value = this.#valueAt(index);
    const indent = (/** @type {HTMLElement} */ line, /** @type {number} */ more) => {
      line.style.paddingInlineStart = `${4 + Math.min(doc.depths[value], INDENTED) * 16 + more}px`;
      return line;
    };
    if (this.#lines[index] < 0) {
      const { pointer, text } = this.remarks[-1 - this.#lines[index]];
      // Said where it would be, if it isn't there.
      const rest = pointer.slice(doc.pointer(value).length);
      return indent(h("div", { class: "line remark", role: "none" }, h("span", { class: "hush" }, "Finding: "), "! ", rest && [recorded(rest, { longest: 120 }), " "], recorded(text)), 36);
    }
    const folds = doc.isContainer(value) && doc.sizes[value] > 0;
    const isOpen = this.open[value] === 1;
    const isSelected = value === this.#selected;
    const marked = (/** @type {string} */ text, /** @type {number} */ longest) => this.#marked(text, longest);
    const line = h(
      "div",
      {
        class: isSelected ? "line selected" : "line",
        role: "treeitem",
        id: `${this.name}-${value}`,
        "aria-level": doc.depths[value] + 1,
        "aria-posinset": doc.indexes[value] + 1,
        "aria-setsize": value === 0 ? 1 : doc.sizes[doc.parents[value]],
        "aria-selected": String(isSelected),
        "aria-expanded": folds ? String(isOpen) : null,
        dataset: { value },
      },
      h("span", { class: "fold" }, folds && icon(isOpen ? "down" : "right")),
      doc.depths[value] > INDENTED && h("span", { class: "more" }, `level ${doc.depths[value]}`),
      keyText(doc, value, marked),
      valueText(doc, value, isOpen, marked),
    );
    return indent(line, 0);
  }

  /** A name or scalar with what is searched for in it marked. @param {string} text @param {number} longest */
  #marked(text, longest) {
    const at = this.#query ? text.slice(0, longest).toLowerCase().indexOf(this.#query) : -1;
    if (at < 0) return recorded(text, { longest });
    const end = at + this.#query.length;
    return [recorded(text.slice(0, at)), h("mark", null, recorded(text.slice(at, end))), recorded(text.slice(end), { longest: Math.max(0, longest - end) })];
  }

  /** @param {MouseEvent} event */
  #press(event) {
    const target = /** @type {Element} */ (event.target);
    const line = /** @type {HTMLElement | null} */ (target.closest("[data-value]"));
    if (!line || event.button !== 0) return;
    this.#select(Number(line.dataset.value));
    if (!target.closest(".fold, .sum")) return;
    event.preventDefault();
    this.lines.element.focus({ preventScroll: true });
    this.toggle();
  }

  /** @param {number} value */
  #select(value) {
    const { doc } = this;
    this.#selected = value;
    this.lines.element.setAttribute("aria-activedescendant", `${this.name}-${value}`);
    const pointer = doc.pointer(value);
    // The end of a pointer says more than its start.
    this.where.replaceChildren(pointer ? recorded(pointer.slice(-300), { class: "mono" }) : h("span", { class: "muted" }, "the whole body"));
    this.where.title = visible(pointer, 1000);
    this.whole.hidden = doc.isContainer(value) || doc.ends[value] - doc.starts[value] <= LONGEST;
    this.lines.draw();
  }

  /** Whether something had to be unfolded. @param {number} value */
  #unfoldTo(value) {
    let changed = false;
    for (let at = this.doc.parents[value]; at >= 0; at = this.doc.parents[at]) {
      changed ||= this.open[at] === 0;
      this.open[at] = 1;
    }
    return changed;
  }

  /** Selects and shows a value. @param {number} value */
  show(value) {
    if (this.#unfoldTo(value)) this.#arrange();
    this.#select(value);
    const line = this.#lineOf(value);
    this.lines.reveal(line);
    // Deep values are far to the right.
    const aside = Math.max(0, Math.min(this.doc.depths[value], INDENTED) * 16 - 80);
    if (Math.abs(this.lines.element.scrollLeft - aside) > this.lines.element.clientWidth - 10 * LINE) this.lines.element.scrollLeft = aside;
  }

  /** Selects and shows what is at a pointer, or what it would be in. @param {string} pointer */
  showPointer(pointer) {
    this.show(this.doc.find(pointer).value);
  }

  /** @param {string} text */
  #search(text) {
    this.#query = text.toLowerCase();
    const pointed = text.startsWith("/") ? this.doc.find(text) : null;
    this.#found = pointed?.exact ? [pointed.value] : this.doc.search(text);
    this.find.say(0, this.#found.length, text !== "");
    const at = this.#found.findIndex((value) => value >= this.#selected);
    if (this.#found.length > 0) this.#goTo(Math.max(0, at));
    else this.lines.draw();
  }

  /** @param {number} at */
  #goTo(at) {
    this.show(this.#found[at]);
    this.find.say(at, this.#found.length, true);
  }

  /** To the next or previous match. @param {boolean} forwards */
  step(forwards) {
    const { length } = this.#found;
    if (length === 0) return;
    const at = forwards ? this.#found.findIndex((value) => value > this.#selected) : this.#found.findLastIndex((value) => value < this.#selected);
    this.#goTo(at >= 0 ? at : forwards ? 0 : length - 1);
  }

  /** Moves the selection by lines. @param {number} by */
  move(by) {
    const last = this.#lines.length - 1;
    let to = Math.max(0, Math.min(last, this.#lineOf(this.#selected) + by));
    // Over a value's remarks.
    if (by > 0) while (to < last && this.#lines[to] < 0) to++;
    this.#select(this.#valueAt(to));
    this.lines.reveal(to);
  }

  /** To the right: unfolds, then goes in. To the left: folds, then goes out. @param {boolean} right */
  aside(right) {
    const { doc } = this;
    const value = this.#selected;
    const folds = doc.isContainer(value) && doc.sizes[value] > 0;
    const isOpen = this.open[value] === 1;
    if (folds && isOpen !== right) this.toggle();
    else if (right && folds) this.move(1);
    else if (right || this.lines.element.scrollLeft > 0) this.lines.scrollBy(0, right ? 64 : -64);
    else if (value > 0) this.show(doc.parents[value]);
  }

  /** Folds or unfolds what is selected. */
  toggle() {
    if (!this.doc.isContainer(this.#selected)) return;
    this.open[this.#selected] ^= 1;
    this.#arrange();
  }

  foldAll() {
    const { doc, open } = this;
    const isOpen = open.some((open, value) => value > 0 && open === 1 && doc.isContainer(value));
    open.fill(isOpen ? 0 : 1);
    open[0] = 1;
    this.#arrange();
    let value = this.#selected;
    if (isOpen) while (doc.depths[value] > 1) value = doc.parents[value];
    this.show(value);
  }

  copyValue() {
    void copyText(this.doc.scalar(this.#selected), this.ctx, "The value");
  }

  copyPointer() {
    void copyText(this.doc.pointer(this.#selected), this.ctx, "The JSON pointer");
  }

  /** A long value in full. */
  showWhole() {
    const view = textView(this.doc.scalar(this.#selected), "the value");
    const title = visible(this.doc.pointer(this.#selected).slice(-80)) || "The value";
    void dialog(title, () => ({ content: view.element }), { wide: true }).then(view.leave);
  }

  focusSearch() {
    this.find.focus();
  }

  leave() {
    this.lines.leave();
  }
}

/** What is unfolded at first: all, or as many levels as are soon read. @param {JsonDoc} doc */
function opened(doc) {
  const open = new Uint8Array(doc.count).fill(1);
  if (doc.count <= UNFOLDED) return open;
  /** @type {number[]} */
  const levels = [];
  for (const depth of doc.depths.subarray(0, doc.count)) levels[depth] = (levels[depth] ?? 0) + 1;
  let [depth, lines] = [1, levels[1]];
  while (depth + 1 < levels.length && lines + levels[depth + 1] <= UNFOLDED) lines += levels[++depth];
  return open.map((_, value) => (doc.depths[value] < depth ? 1 : 0));
}
