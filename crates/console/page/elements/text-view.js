// Text of any length, wrapped, with its control characters visible.

import { h, recorded } from "../dom.js";
import { findBar } from "./find-bar.js";
import { Lines } from "./lines.js";

/** The most matches that are listed. */
const MOST = 100_000;

/** @param {string} text @param {string} label @param {Children} [tools] @returns {Shown} */
export function textView(text, label, tools) {
	/** Where each line starts, and at last where the text ends. */
	let starts = new Int32Array(1);
	/** @type {number[]} */
	let found = [];
	let [columns, length, at] = [0, 0, -1];
	const part = (text = "") => recorded(text, { longest: Infinity, lines: true });
	const lineAt = (offset = 0) => {
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
			const start = starts[index];
			const shown = text.slice(start, starts[index + 1]).replace(/\r?\n$/, "");
			const [from, to] = [found[at] - start, found[at] + length - start].map((offset) => Math.max(0, offset));
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
	const show = (match = 0) => {
		at = match;
		if (at >= 0) lines.reveal(lineAt(found[at]));
		lines.draw();
		find.say(at, found.length);
	};
	const step = (forwards = true) => {
		if (found.length > 0) show((at + (forwards ? 1 : -1) + found.length) % found.length);
	};
	const search = (wanted = "") => {
		found = [];
		length = wanted.length;
		const pattern = new RegExp(wanted.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), "giu");
		for (let match = wanted && pattern.exec(text); match && found.length < MOST; match = pattern.exec(text)) found.push(match.index);
		show(found.length > 0 ? 0 : -1);
	};
	const find = findBar(`Search ${label}`, search, step, tools);
	const element = h("div", { class: "fills" }, find.element, lines.element);
	return { element, acts: { lines, step, move: (by) => lines.scrollBy(by), focusSearch: find.focus }, leave: () => lines.leave() };
}

/** Where lines of at most `columns` characters start, and at last where the text ends. @param {string} text @param {number} columns */
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

/** In pixels. @param {HTMLElement} element */
function letterWidth(element) {
	const probe = h("span", { class: "line probe" }, "0".repeat(50));
	element.append(probe);
	const { width } = probe.getBoundingClientRect();
	probe.remove();
	return width / 50 || 8;
}
