// What has to be said: notices that last as long as their cause, and toasts that pass.

import { h, prose } from "../dom.js";

/** @typedef {import("../app.js").Level} Level */

const WORDS = /** @type {Record<Level, string>} */ ({ info: "Note", good: "Done", warn: "Warning", bad: "Error" });

/** Milliseconds that a toast stays; an error stays longer. */
const STAYS = { short: 5000, long: 12_000 };

/** The most toasts at once. */
const MOST = 4;

export function notice() {
	const element = h("div", { class: "notices", role: "status", "aria-live": "polite" });
	const toasts = h("div", { class: "toasts", role: "status", "aria-live": "polite" });
	/** @type {Map<string, {element: HTMLElement, key: string}>} */
	const lasting = new Map();

	return {
		element,
		toasts,
		/** Shows a notice until it is cleared; says nothing anew while it is the same. @param {string} name @param {Level} level @param {string} text */
		show(name, level, text) {
			const key = `${level} ${text}`;
			const before = lasting.get(name);
			if (before?.key === key) return;
			const made = h("div", { class: `notice ${level}` }, h("span", { class: "kind" }, WORDS[level]), h("span", { class: "say" }, prose(text)));
			if (before) before.element.replaceWith(made);
			else element.append(made);
			lasting.set(name, { element: made, key });
		},
		/** @param {string} name */
		clear(name) {
			lasting.get(name)?.element.remove();
			lasting.delete(name);
		},
		/** Says something once. @param {Level} level @param {string} text */
		notify(level, text) {
			const close = h("button", { class: "button quiet small", onclick: () => made.remove() }, "Dismiss");
			const made = h("div", { class: `toast ${level}` }, h("span", null, prose(text)), close);
			toasts.append(made);
			while (toasts.children.length > MOST) toasts.firstElementChild?.remove();
			setTimeout(() => made.remove(), level === "bad" || level === "warn" ? STAYS.long : STAYS.short);
		},
	};
}
