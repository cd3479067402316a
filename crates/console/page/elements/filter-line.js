// The line that filters: the command line's language, with completion and the number of exchanges behind each value.

import { fill, h, prose, said, visible } from "../dom.js";
import { FILTERS, OUTCOMES, parse, quoted, resolve, words, write } from "../filter.js";
import { count, status, token } from "../format.js";
import { icon } from "./icon.js";

/** @typedef {{insert: string, name: string, note: string, count: number | null, whole: boolean}} Suggestion */

/** Suggestions shown. */
const MOST = 40;
/** Milliseconds for which counts are good. */
const FRESH = 5000;

/** Statuses to write where none was recorded. */
const CLASSES = ["2xx", "4xx", "5xx"];

let numbers = 0;

/** @param {{api: import("../api.js").Api, chosen: (pairs: import("../filter.js").Pairs) => void}} options */
export function filterLine({ api, chosen }) {
	const listId = `filter-list-${++numbers}`;
	const input = h("input", {
		class: "field", type: "text", role: "combobox", "aria-label": "Filter", "aria-expanded": "false", "aria-controls": listId, "aria-autocomplete": "list",
		autocomplete: "off", autocapitalize: "off", spellcheck: "false", enterkeyhint: "search", placeholder: "Filter: 4xx  rates/*  outcome=failed  client=\"Acme*\"  since=12:00", maxlength: 4000,
	});
	const list = h("ul", { class: "suggestions", role: "listbox", id: listId, "aria-label": "Suggestions", hidden: true });
	const clear = h("button", { class: "button quiet small icon", "aria-label": "Clear the filter", title: "Clear the filter", hidden: true, onclick: () => { set([]); input.focus(); chosen([]); } }, icon("close"));
	const fault = h("p", { class: "fault", role: "alert", id: `${listId}-fault` });
	const element = h("div", { class: "filter" }, h("div", { class: "filter-box" }, icon("filter"), input, clear, list), fault);

	let applied = "";
	let active = -1;
	/** @type {Suggestion[]} */
	let suggestions = [];
	/** @type {{key: string, at: number, facets: any} | null} */
	let cached = null;
	let turn = 0;

	/** @param {import("../filter.js").Pairs} pairs */
	function set(pairs) {
		applied = write(pairs);
		input.value = applied;
		clear.hidden = !applied;
		say("");
		close();
	}

	/** @param {string} text */
	function say(text) {
		fill(fault, prose(text));
		if (text) {
			input.setAttribute("aria-invalid", "true");
			input.setAttribute("aria-describedby", fault.id);
		} else {
			input.removeAttribute("aria-invalid");
			input.removeAttribute("aria-describedby");
		}
	}

	function apply() {
		close();
		try {
			const pairs = parse(input.value);
			applied = write(pairs);
			clear.hidden = !applied;
			say("");
			chosen(pairs);
		} catch (error) {
			say(said(error));
		}
	}

	function close() {
		turn++;
		list.hidden = true;
		active = -1;
		suggestions = [];
		input.setAttribute("aria-expanded", "false");
		input.removeAttribute("aria-activedescendant");
	}

	/** The word at the caret, and the filter without it. */
	function here() {
		const caret = input.selectionStart ?? input.value.length;
		const all = words(input.value);
		const word = all.find(({ from, to }) => from <= caret && caret <= to) ?? { text: "", from: caret, to: caret, open: false };
		const rest = `${input.value.slice(0, word.from)} ${input.value.slice(word.to)}`;
		return { word, rest };
	}

	async function suggest() {
		const mine = ++turn;
		const { word, rest } = here();
		const offer = (/** @type {any} */ facets) => {
			if (mine !== turn || document.activeElement !== input) return;
			const chosen = suggestions[active]?.insert;
			suggestions = suggested(word.text, facets).slice(0, MOST);
			active = suggestions.findIndex(({ insert }) => insert === chosen);
			draw();
		};
		// At once what needs no counts.
		active = -1;
		offer(cached?.facets ?? null);
		offer(await facetsOf(rest));
	}

	/** How many exchanges have which values, of those that match the rest of the filter. @param {string} rest */
	async function facetsOf(rest) {
		let query;
		try {
			query = resolve(parse(rest), Date.now()).toString();
		} catch {
			return null;
		}
		if (cached && cached.key === query && Date.now() - cached.at < FRESH) return cached.facets;
		try {
			const facets = await api.get(`/api/v1/facets?${query}`);
			cached = { key: query, at: Date.now(), facets };
			return facets;
		} catch {
			return null;
		}
	}

	function draw() {
		list.hidden = suggestions.length === 0;
		input.setAttribute("aria-expanded", String(suggestions.length > 0));
		if (active >= 0) input.setAttribute("aria-activedescendant", `${listId}-${active}`);
		else input.removeAttribute("aria-activedescendant");
		fill(list, suggestions.map((suggestion, place) =>
			h("li", {
				role: "option", id: `${listId}-${place}`, "aria-selected": String(place === active),
				// Before the input loses the focus.
				onmousedown: (/** @type {Event} */ event) => { event.preventDefault(); accept(place); },
			}, h("bdi", { class: "mono" }, visible(suggestion.name, 100)), h("span", { class: "note" }, suggestion.note), suggestion.count === null ? null : h("span", { class: "of" }, count(suggestion.count)))));
		list.children[active]?.scrollIntoView({ block: "nearest" });
	}

	/** @param {number} place */
	function accept(place) {
		const suggestion = suggestions[place];
		if (!suggestion) return;
		const { word } = here();
		const after = input.value.slice(word.to).trimStart();
		const before = input.value.slice(0, word.from) + suggestion.insert + (suggestion.whole ? " " : "");
		input.value = before + after;
		input.setSelectionRange(before.length, before.length);
		if (suggestion.whole) apply();
		else void suggest();
	}

	input.addEventListener("input", () => {
		say("");
		void suggest();
	});
	input.addEventListener("focus", () => void suggest());
	input.addEventListener("click", () => list.hidden && void suggest());
	input.addEventListener("blur", close);
	input.addEventListener("keydown", (event) => {
		if (event.isComposing) return;
		if (event.key === "ArrowDown" || event.key === "ArrowUp") {
			if (list.hidden) {
				void suggest();
			} else {
				const by = event.key === "ArrowDown" ? 1 : -1;
				active = active < 0 ? (by > 0 ? 0 : suggestions.length - 1) : (active + by + suggestions.length) % suggestions.length;
				draw();
			}
		} else if (event.key === "Tab" && !event.shiftKey && !list.hidden && active >= 0) {
			accept(active);
		} else if (event.key === "Enter") {
			if (!list.hidden && active >= 0) accept(active);
			else {
				apply();
				// So that keys are the list's again.
				if (!fault.textContent) input.blur();
			}
		} else if (event.key === "Escape" && !list.hidden) {
			close();
		} else if (event.key === "Escape") {
			input.value = applied;
			say("");
			input.blur();
		} else {
			return;
		}
		event.preventDefault();
		event.stopPropagation();
	});

	return {
		element,
		set,
		/** Says what the API has against the filter; "" for nothing. */
		say,
		focus() {
			input.focus();
			input.select();
		},
	};
}

/** What a word may become. @param {string} text @param {any} facets @returns {Suggestion[]} */
export function suggested(text, facets) {
	const equals = text.indexOf("=");
	if (equals > 0) return valuesOf(text.slice(0, equals).replace(/^-+/, ""), text.slice(equals + 1), facets);
	const typed = text.toLowerCase();
	const names = FILTERS.filter(([name]) => name.startsWith(typed)).map(([name, note, example]) => ({ insert: `${name}=`, name: `${name}=`, note: `${note}: ${example}`, count: null, whole: false }));
	if (!text) return names;
	const negated = typed.startsWith("!");
	const sought = negated ? typed.slice(1) : typed;
	return [...names, ...valuesOf("status", text, facets), ...(sought.length > 1 ? valuesOf("operation", text, facets) : [])];
}

/** @param {string} name @param {string} typed @param {any} facets @returns {Suggestion[]} */
function valuesOf(name, typed, facets) {
	const mark = typed.startsWith("!") ? "!" : "";
	const lists = name === "status" || name === "operation";
	const comma = lists ? typed.lastIndexOf(",") + 1 : 0;
	const before = typed.slice(mark.length, Math.max(comma, mark.length));
	const sought = typed.slice(Math.max(comma, mark.length)).toLowerCase();
	/** @type {{value: string, note: string, count: number | null}[]} */
	let values = [];
	if (name === "session") values = (facets?.sessions ?? []).map((/** @type {any} */ one) => ({ value: one.name, note: one.id, count: one.count }));
	if (name === "operation") values = (facets?.operations ?? []).map((/** @type {any} */ one) => ({ value: one.name, note: "", count: one.count }));
	if (name === "client") values = (facets?.clients ?? []).map((/** @type {any} */ one) => ({ value: one.name, note: "", count: one.count }));
	if (name === "token") values = (facets?.tokens ?? []).map((/** @type {any} */ one) => ({ value: token(one.pseudonym), note: "", count: one.count }));
	if (name === "outcome") {
		const counts = new Map((facets?.outcomes ?? []).map((/** @type {any} */ one) => [one.name, one.count]));
		values = Object.entries(OUTCOMES).map(([value, note]) => ({ value, note, count: counts.get(value) ?? null }));
	}
	if (name === "status") {
		const seen = (facets?.statuses ?? []).filter((/** @type {any} */ one) => one.status !== null);
		const classes = CLASSES.map((value) => ({ value, note: "", count: facets && seen.filter((/** @type {any} */ one) => String(one.status)[0] === value[0]).reduce((/** @type {number} */ sum, /** @type {any} */ one) => sum + one.count, 0) }));
		values = [...classes, ...seen.map((/** @type {any} */ one) => ({ value: status(one.status), note: "", count: one.count }))];
	}
	return values
		.filter(({ value }) => (name === "status" ? value.startsWith(sought) : value.toLowerCase().includes(sought)) && value.toLowerCase() !== sought)
		// What the line can't hold can't be typed either.
		.filter(({ value }) => visible(value, 1000) === value)
		.map(({ value, note, count }) => ({ insert: `${name}=${quoted(mark + before + escaped(name, value, mark + before))}`, name: mark + value, note: note || name, count, whole: true }));
}

/** A value as a filter's pattern. @param {string} name @param {string} value @param {string} before */
const escaped = (name, value, before) => (!before && name !== "status" && (value.startsWith("!") || value.startsWith("\\")) ? `\\${value}` : value);
