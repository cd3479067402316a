// What the views of limits, run and sessions have in common.

import { fill, h, recorded } from "../dom.js";
import { count, shortId } from "../format.js";
import { address } from "../router.js";

export { said } from "../dom.js";

/** @type {Record<Severity, string>} */
export const LEVEL = { error: "bad", warning: "warn", note: "info" };

/** @type {Record<Verdict, [level: string, words: string]>} */
export const VERDICT = {
	empty: ["", "Nothing to review"], ready: ["good", "Ready"], questions: ["warn", "Nearly ready"],
	"not-ready": ["bad", "Not ready"], "not-mews": ["bad", "Not Mews"], "not-proven": ["bad", "Not proven"],
};

/** @param {string} level @param {Children} text */
export const tag = (level, text) => h("span", { class: `tag ${level}` }, text);

/** @param {Children[]} text */
export const muted = (...text) => h("span", { class: "muted" }, text);

/** @param {string} text */
export const mono = (text) => h("span", { class: "mono" }, recorded(text, { longest: 200 }));

/** A recorded sentence with what is in backticks as code. @param {string} text */
export function sentence(text) {
	const parts = text.split("`");
	return parts.length % 2 ? parts.map((part, place) => (place % 2 ? h("code", null, recorded(part)) : recorded(part, { longest: 1500 }))) : recorded(text, { longest: 1500 });
}

/** @param {string} text @param {() => unknown} run @param {string} [kind] @param {import("../dom.js").Props} [more] */
export const button = (text, run, kind = "", more = {}) => h("button", { class: `button ${kind}`, onclick: () => void run(), ...more }, text);

/** @param {Children} title @param {Children} aside @param {Children[]} body */
export const card = (title, aside, ...body) => h("section", { class: "card" }, h("header", null, h("h2", null, title), aside), body);

/** @param {string} title @param {Children[]} text */
export const blank = (title, ...text) => h("div", { class: "blank" }, h("h2", null, title), text.map((own) => h("p", null, own)));

/** @param {number} share Of 1. @param {string} [level] */
export function meter(share, level = "") {
	const bar = h("span", { class: level });
	bar.style.width = `${Math.min(1, share) * 100}%`;
	return h("span", { class: "meter" }, bar);
}

/**
 * A table; columns that begin with `>` are for figures.
 * @param {string[]} columns
 * @param {Children[][]} rows
 */
export function table(columns, rows) {
	const names = columns.map((name) => name.replace(">", ""));
	const side = columns.map((name) => (name[0] === ">" ? "right" : null));
	return h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Table" }, h("table", { class: "table" },
		h("thead", null, h("tr", null, names.map((name, place) => h("th", { class: side[place] }, name)))),
		h("tbody", null, rows.map((cells) => h("tr", null, cells.map((cell, place) => h("td", { class: side[place], dataset: { label: names[place] } }, cell)))))));
}

/** The start of a list, the rest folded. @param {HTMLElement[]} items @param {string} kind @param {number} first */
export const folded = (items, kind, first) => [
	h("ul", { class: kind }, items.slice(0, first)),
	items.length > first && h("details", { class: "rest", dataset: { key: kind } }, h("summary", null, `${count(items.length - first)} more`), h("ul", { class: kind }, items.slice(first))),
];

/** @param {string} id @param {Children} [text] */
export const exchangeLink = (id, text) => h("a", { class: "mono", href: address(["exchange", id]), title: `Exchange ${id}` }, text ?? shortId(id));

/** Links to the first exchanges of a number of them. @param {string[]} ids @param {number} all */
export const exchangeLinks = (ids, all) => ids.length > 0 && h("span", { class: "ids" }, ids.map((id) => exchangeLink(id)), all > ids.length && muted(`of ${count(all)}`));

/**
 * Fills an element, and keeps what is unfolded in it and what has the focus.
 * @param {HTMLElement} place
 * @param {Children[]} children
 */
export function refill(place, ...children) {
	const active = document.activeElement;
	const focus = active instanceof HTMLElement && place.contains(active) ? (active.dataset.key ?? active.getAttribute("href")) : null;
	const open = [...place.querySelectorAll("details[open]")].map((own) => /** @type {HTMLElement} */ (own).dataset.key);
	fill(place, children);
	place.querySelectorAll("details").forEach((own) => (own.open = open.includes(own.dataset.key)));
	if (focus) /** @type {HTMLElement | null} */ (place.querySelector(`[data-key="${CSS.escape(focus)}"], [href="${CSS.escape(focus)}"]`))?.focus({ preventScroll: true });
}

/** Whether one is selecting text there, which drawing it anew would undo. @param {Element} place */
export function selecting(place) {
	const selection = getSelection();
	return selection !== null && !selection.isCollapsed && place.contains(selection.anchorNode);
}
