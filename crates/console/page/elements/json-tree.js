// JSON as a tree that folds, is searched, and gives a value or its pointer to copy.

import { h, recorded, visible } from "../dom.js";
import { count, counted } from "../format.js";
import { copyText } from "./copy.js";
import { dialog } from "./dialog.js";
import { findBar, textButton } from "./find-bar.js";
import { icon } from "./icon.js";
import { LINE, Lines } from "./lines.js";
import { textView } from "./text-view.js";

/** More lines than this aren't all unfolded at first. */
const UNFOLDED = 20_000;
/** Characters of a value on its line. */
const LONGEST = 400;
/** Levels that are indented; deeper ones say their number. */
const INDENTED = 30;

/** Trees so far: each has ids of its own. */
let trees = 0;

/** @type {MakeText} */
const plain = (text, longest) => recorded(text, { longest });

/** A value's name or position. @param {Doc} doc @param {number} value */
export function keyText(doc, value, text = plain) {
	const name = doc.name(value);
	return value > 0 && h("span", { class: name === null ? "index" : "name" }, text(name ?? `${doc.indexes[value]}`, 120), ":");
}

/** A value on its line; of a container, how much is in it. @param {Doc} doc @param {number} value @param {boolean} isOpen */
export function valueText(doc, value, isOpen, text = plain) {
	const kind = doc.kind(value);
	if (doc.isContainer(value)) {
		const length = doc.sizes[value];
		const [sides, what] = kind === "{" ? ["{}", counted(length, "property", "properties")] : ["[]", counted(length, "item")];
		return h("span", { class: "sum" }, length === 0 ? sides : [isOpen ? sides[0] : sides.split("").join("…"), " ", h("span", { class: "muted" }, what)]);
	}
	const scalar = doc.scalar(value);
	if (kind !== '"') return h("span", { class: /[tfn]/.test(kind) ? "word" : "num" }, text(scalar, LONGEST));
	return [h("span", { class: "str" }, '"', text(scalar, LONGEST), '"'), scalar.length > LONGEST && h("span", { class: "more" }, `${count(scalar.length)} characters`)];
}

/** @param {Doc} doc @param {Context} ctx @param {{ label: string, remarks?: Remark[], tools?: Child }} options @returns {Shown} */
export function jsonTree(doc, ctx, { label, remarks = [], tools }) {
	const own = `tree-${trees++}`;
	const open = opened(doc);
	/** Values, and after them their remarks as `-1 - index`. */
	let shown = new Int32Array(0);
	let selected = 0;
	/** @type {number[]} */
	let found = [];
	let query = "";
	/** @type {Map<number, number[]>} */
	const remarksAt = new Map();
	const folds = (value = 0) => doc.isContainer(value) && doc.sizes[value] > 0;

	const arrange = () => {
		const all = new Int32Array(doc.count + remarks.length);
		let length = 0;
		for (let value = 0; value < doc.count; value = open[value] ? value + 1 : doc.nexts[value]) {
			all[length++] = value;
			for (const remark of remarksAt.get(value) ?? []) all[length++] = -1 - remark;
		}
		shown = all.subarray(0, length);
		lines.setCount(length);
	};

	/** The value of a line; a remark's is the one before it. */
	const valueAt = (line = 0) => {
		while (shown[line] < 0) line--;
		return shown[line];
	};

	/** The line of a value, or of the folded one around it. */
	const lineOf = (value = 0) => {
		let [low, high] = [0, shown.length - 1];
		while (low < high) {
			const middle = (low + high + 1) >> 1;
			if (valueAt(middle) <= value) low = middle;
			else high = middle - 1;
		}
		while (shown[low] < 0) low--;
		return low;
	};

	/** What is searched for is marked. @type {MakeText} */
	const marked = (text, longest) => {
		const at = query ? text.slice(0, longest).toLowerCase().indexOf(query) : -1;
		if (at < 0) return plain(text, longest);
		const end = at + query.length;
		return [plain(text.slice(0, at), at), h("mark", null, plain(text.slice(at, end), LONGEST)), plain(text.slice(end), Math.max(0, longest - end))];
	};

	const line = (index = 0) => {
		const value = valueAt(index);
		const depth = doc.depths[value];
		const indent = 4 + Math.min(depth, INDENTED) * 16;
		if (shown[index] < 0) {
			const { pointer, text } = remarks[-1 - shown[index]];
			// Where it would be, if it isn't there.
			const rest = pointer.slice(doc.pointer(value).length);
			const remark = h("div", { class: "line remark", role: "none" }, h("span", { class: "hush" }, "Finding: "), "! ", rest && [plain(rest, 120), " "], plain(text, LONGEST));
			remark.style.paddingInlineStart = `${indent + 36}px`;
			return remark;
		}
		const isOpen = open[value] === 1;
		const element = h(
			"div",
			{
				class: value === selected ? "line selected" : "line",
				role: "treeitem",
				id: `${own}-${value}`,
				"aria-level": depth + 1,
				"aria-posinset": doc.indexes[value] + 1,
				"aria-setsize": value === 0 ? 1 : doc.sizes[doc.parents[value]],
				"aria-selected": `${value === selected}`,
				"aria-expanded": folds(value) ? `${isOpen}` : null,
				dataset: { value },
			},
			h("span", { class: "fold" }, folds(value) && icon(isOpen ? "down" : "right")),
			depth > INDENTED && h("span", { class: "more" }, `level ${depth}`),
			keyText(doc, value, marked),
			valueText(doc, value, isOpen, marked),
		);
		element.style.paddingInlineStart = `${indent}px`;
		return element;
	};

	const lines = new Lines({ label, look: "json", role: "tree", line });
	lines.element.addEventListener("click", (event) => {
		const target = /** @type {Element} */ (event.target);
		const at = /** @type {HTMLElement | null} */ (target.closest("[data-value]"));
		// Text that is being selected must not be drawn anew.
		if (!at || getSelection()?.isCollapsed === false) return;
		select(Number(at.dataset.value));
		if (target.closest(".fold, .sum")) toggle();
	});

	const select = (value = 0) => {
		selected = value;
		lines.element.setAttribute("aria-activedescendant", `${own}-${value}`);
		const pointer = doc.pointer(value);
		// Its end says more than its start.
		where.replaceChildren(pointer ? recorded(pointer.slice(-300), { class: "mono" }) : "the whole body");
		where.title = visible(pointer, 1000);
		whole.hidden = doc.isContainer(value) || doc.ends[value] - doc.starts[value] <= LONGEST;
		lines.draw();
	};

	/** Whether something was folded. */
	const unfoldTo = (value = 0) => {
		let changed = false;
		for (let at = doc.parents[value]; at >= 0; at = doc.parents[at]) {
			changed ||= open[at] === 0;
			open[at] = 1;
		}
		return changed;
	};

	const show = (value = 0) => {
		if (unfoldTo(value)) arrange();
		select(value);
		lines.reveal(lineOf(value));
		// Deep values are far to the right.
		const aside = Math.max(0, Math.min(doc.depths[value], INDENTED) * 16 - 80);
		if (Math.abs(lines.element.scrollLeft - aside) > lines.element.clientWidth - 10 * LINE) lines.element.scrollLeft = aside;
	};

	const goTo = (at = 0) => {
		show(found[at]);
		find.say(at, found.length);
	};

	const step = (forwards = true) => {
		if (found.length === 0) return;
		const at = forwards ? found.findIndex((value) => value > selected) : found.findLastIndex((value) => value < selected);
		goTo(at >= 0 ? at : forwards ? 0 : found.length - 1);
	};

	const search = (text = "") => {
		query = text.toLowerCase();
		const pointed = text.startsWith("/") ? doc.find(text) : null;
		found = pointed?.exact ? [pointed.value] : doc.search(text);
		find.say(0, found.length);
		if (found.length > 0) goTo(Math.max(0, found.findIndex((value) => value >= selected)));
		else lines.draw();
	};

	const move = (by = 0) => {
		const last = shown.length - 1;
		let to = Math.max(0, Math.min(last, lineOf(selected) + by));
		// Over a value's remarks.
		if (by > 0) while (to < last && shown[to] < 0) to++;
		select(valueAt(to));
		lines.reveal(to);
	};

	const toggle = () => {
		if (!doc.isContainer(selected)) return;
		open[selected] ^= 1;
		arrange();
	};

	/** To the right: unfolds, then goes in. To the left: folds, then goes out. */
	const aside = (right = true) => {
		if (folds(selected) && (open[selected] === 1) !== right) toggle();
		else if (right && folds(selected)) move(1);
		else if (right || lines.element.scrollLeft > 0) lines.scrollBy(0, right ? 64 : -64);
		else if (selected > 0) show(doc.parents[selected]);
	};

	const foldAll = () => {
		const isOpen = open.some((open, value) => value > 0 && open === 1 && doc.isContainer(value));
		open.fill(isOpen ? 0 : 1);
		open[0] = 1;
		arrange();
		let value = selected;
		if (isOpen) while (doc.depths[value] > 1) value = doc.parents[value];
		show(value);
	};

	const showWhole = () => {
		const view = textView(doc.scalar(selected), "the value");
		void dialog(visible(doc.pointer(selected).slice(-80)) || "The value", () => ({ content: view.element }), { wide: true }).then(view.leave);
	};
	const copyValue = () => void copyText(doc.scalar(selected), ctx, "The value");
	const copyPointer = () => void copyText(doc.pointer(selected), ctx, "The JSON pointer");

	const find = findBar(`Search ${label}`, search, step, [textButton("Fold all", "Fold or unfold all (z)", foldAll), tools]);
	const where = h("span", { class: "json-where muted" });
	const whole = textButton("Show all", "Show the whole value", showWhole);
	const foot = h("div", { class: "json-foot" }, where, whole, textButton("Copy value", "Copy the value (c)", copyValue), textButton("Copy pointer", "Copy the JSON pointer (p)", copyPointer));
	for (const [index, { pointer }] of remarks.entries()) {
		const { value } = doc.find(pointer);
		remarksAt.set(value, [...(remarksAt.get(value) ?? []), index]);
		unfoldTo(value);
	}
	arrange();
	select(0);
	return {
		element: h("div", { class: "fills" }, find.element, lines.element, foot),
		acts: { lines, move, step, toggle, foldAll, aside, copyValue, copyPointer, focusSearch: find.focus, showPointer: (pointer) => show(doc.find(pointer).value) },
		leave: () => lines.leave(),
	};
}

/** What is unfolded at first: all, or as many levels as are soon read. @param {Doc} doc */
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
