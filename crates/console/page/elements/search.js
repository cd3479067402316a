// Searches URLs, headers and bodies of the listed exchanges, newest first, one match at a time.

import { afterPause, h, said } from "../dom.js";
import { count } from "../format.js";
import { icon } from "./icon.js";

/** Matches asked for at once. */
const PAGE = 100;

/** @param {{api: import("../api.js").Api, query: () => URLSearchParams, found: (id: string) => void}} options */
export function search({ api, query, found }) {
	const input = h("input", { class: "field", type: "search", "aria-label": "Search", placeholder: "Search in URLs, headers and bodies, ignoring case", autocomplete: "off", spellcheck: "false", maxlength: 1000, enterkeyhint: "search" });
	const told = h("span", { class: "muted nowrap", role: "status" });
	const older = h("button", { class: "button small icon", "aria-label": "Next match, older", title: "Next match, older (n)", onclick: () => void step(1) }, icon("up"));
	const newer = h("button", { class: "button small icon", "aria-label": "Previous match, newer", title: "Previous match, newer (N)", onclick: () => void step(-1) }, icon("down"));
	const shut = h("button", { class: "button small quiet icon", "aria-label": "Close the search", onclick: () => close() }, icon("close"));
	const element = h("div", { class: "search", role: "search", hidden: true }, icon("search"), input, told, older, newer, shut);

	/** @type {string[]} */
	let hits = [];
	/** @type {string | null} */
	let next = null;
	let at = -1;
	let sought = "";
	let stop = new AbortController();

	function reset() {
		stop.abort();
		stop = new AbortController();
		hits = [];
		next = null;
		at = -1;
		sought = "";
		told.textContent = "";
	}

	function close() {
		reset();
		element.hidden = true;
	}

	/** Reads until there are more matches: the console pauses after each second of reading. @param {AbortSignal} signal */
	async function more(signal) {
		const had = hits.length;
		do await part(signal);
		while (next && hits.length === had);
	}

	/** @param {AbortSignal} signal */
	async function part(signal) {
		const asked = new URLSearchParams(query());
		asked.set("contains", sought.startsWith("!") || sought.startsWith("\\") ? `\\${sought}` : sought);
		asked.set("limit", String(PAGE));
		asked.set("order", "newest");
		if (next) asked.set("after", next);
		const page = await api.get(`/api/v1/rows?${asked}`, { signal });
		next = page.next ?? null;
		hits.push(...page.rows.map((/** @type {import("../api.js").Row} */ row) => row.id).filter(Boolean));
	}

	function tell() {
		told.textContent = hits.length ? `${count(at + 1)} of ${count(hits.length)}${next ? "+" : ""}` : "not found";
	}

	async function start() {
		const text = input.value;
		reset();
		if (!text) return;
		if (query().has("contains")) {
			told.textContent = "the filter has `contains` already";
			return;
		}
		sought = text;
		told.textContent = "searching…";
		await step(1);
	}

	/** Goes to the next older match, or the next newer one. @param {number} by */
	async function step(by) {
		if (!sought) return;
		const { signal } = stop;
		try {
			if (at + by >= hits.length && (next || at < 0)) {
				told.textContent = "searching…";
				await more(signal);
			}
			if (signal.aborted) return;
			if (hits.length) {
				// Around the ends, as in `top`.
				at = (at + by + hits.length) % hits.length;
				found(hits[at]);
			}
			tell();
		} catch (error) {
			if (!signal.aborted) told.textContent = said(error);
		}
	}

	const paused = afterPause(400, () => void start());
	input.addEventListener("input", paused);
	input.addEventListener("keydown", (event) => {
		if (event.isComposing) return;
		if (event.key === "Enter") {
			paused.cancel();
			void (input.value === sought ? step(event.shiftKey ? -1 : 1) : start());
		} else if (event.key === "Escape") {
			close();
			input.blur();
		} else {
			return;
		}
		event.preventDefault();
		event.stopPropagation();
	});

	return {
		element,
		step,
		close,
		get isOpen() {
			return !element.hidden;
		},
		open() {
			element.hidden = false;
			input.focus();
			input.select();
		},
	};
}
