// The lines of a comparison, side by side, or one below the other where there is no room.

import { h } from "../dom.js";
import { count, counted } from "../format.js";
import { iconButton } from "./find-bar.js";
import { icon } from "./icon.js";
import { diffJson } from "./json-diff.js";
import { keyText, valueText } from "./json-tree.js";
import { Lines } from "./lines.js";

/** Below this width, in pixels, the sides are one below the other. */
const NARROW = 640;
/** Levels that are indented. */
const INDENTED = 20;

/** @param {Doc} left @param {Doc} right @param {string} what */
export function jsonComparison(left, right, what) {
	const all = diffJson(left, right);
	/** `at` is the difference that a line belongs to. @type {(DiffLine & { at: number })[]} */
	let shown = [];
	/** Lines that are unfolded, by their values. */
	const open = new Set();
	let [current, total, isNarrow] = [-1, 0, false];
	const said = h("span", { class: "muted grows", role: "status" });

	const arrange = () => {
		shown = [];
		total = 0;
		for (const line of all) add(line, line.kind === "same" || line.kind === "inside" ? -1 : total++);
		lines.setCount(shown.length);
	};

	/** Adds a line, and what it contains if it is unfolded. @param {DiffLine} line @param {number} at */
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

	/** @param {DiffLine} line @returns {DiffLine[]} */
	const inside = ({ kind, left: a, right: b, depth }) => {
		const mine = a >= 0 ? [...left.children(a)] : [];
		const theirs = b >= 0 ? [...right.children(b)] : [];
		/** @param {DiffLine["kind"]} kind @param {number} left @param {number} right */
		const of = (kind, left, right) => ({ kind, left, right, depth: depth + 1 });
		if (kind !== "same") return [...mine.map((child) => of("removed", child, -1)), ...theirs.map((child) => of("added", -1, child))];
		const byName = new Map(theirs.map((child) => [right.name(child), child]));
		return mine.map((child, index) => of("same", child, left.kind(a) === "{" ? (byName.get(left.name(child)) ?? theirs[index]) : theirs[index]));
	};

	const line = (index = 0) => {
		const { kind, left: a, right: b, depth, at } = shown[index];
		const isOpen = kind === "inside" || open.has(keyOf(shown[index]));
		/** @param {Doc} doc @param {number} value @param {string} sign */
		const side = (doc, value, sign) => {
			if (value < 0) return !isNarrow && h("div", { class: "side none" });
			const folds = kind !== "inside" && doc.isContainer(value) && doc.sizes[value] > 0;
			const fold = folds
				? h("button", { class: "fold", "aria-expanded": `${isOpen}`, "aria-label": "Contents", onclick: () => toggle(index) }, icon(isOpen ? "down" : "right"))
				: h("span", { class: "fold" });
			const cell = h("div", { class: "side" }, sign && h("span", { class: "sign" }, sign), fold, keyText(doc, value), valueText(doc, value, isOpen));
			cell.style.paddingInlineStart = `${20 + Math.min(depth, INDENTED) * 14}px`;
			return cell;
		};
		const isAlone = isNarrow && a >= 0;
		const differs = kind !== "same" && kind !== "inside";
		return h("div", { class: `line ${kind}${at >= 0 && at === current ? " selected" : ""}` }, side(left, a, differs ? "−" : ""), !isAlone && side(right, b, differs ? "+" : ""));
	};

	const toggle = (index = 0) => {
		const key = keyOf(shown[index]);
		if (!open.delete(key)) open.add(key);
		arrange();
		lines.element.focus({ preventScroll: true });
	};

	const step = (forwards = true) => {
		if (total === 0) return;
		current = forwards ? (current + 1) % total : (Math.max(current, 0) - 1 + total) % total;
		said.textContent = `${count(current + 1)} of ${counted(total, "difference")}`;
		lines.reveal(shown.findIndex(({ at }) => at === current));
		lines.draw();
	};

	const lines = new Lines({
		label: `Differences of the ${what}`,
		look: "json diff",
		line,
		onSize: () => {
			if (isNarrow === lines.element.clientWidth < NARROW) return;
			isNarrow = !isNarrow;
			lines.element.classList.toggle("narrow", isNarrow);
			arrange();
		},
	});
	arrange();
	said.textContent = total === 0 ? `The ${what} are the same.` : counted(total, "difference");
	const steps = total > 0 && [iconButton("up", "Previous difference (N)", () => step(false)), iconButton("down", "Next difference (n)", () => step(true))];
	const element = h("div", { class: "fills" }, h("div", { class: "find-bar" }, said, steps), lines.element);
	return { element, lines, step, leave: () => lines.leave() };
}

/** @param {DiffLine} line */
const keyOf = ({ left, right }) => `${left} ${right}`;
