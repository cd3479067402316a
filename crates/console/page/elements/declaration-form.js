// The declaration as a form. Its properties are the keys of `certification.toml`.

import { fill, h } from "../dom.js";
import { button } from "./parts.js";

const FIELDS = /** @type {[keyof Declaration, string, string, string][]} */ ([
	["integration", "Integration", "Its name, as listed in the Marketplace", "Acme Kiosk"],
	["client", "Client", "The start of `Client` in every request, without its version", "Acme Kiosk"],
	["partner", "Partner", "The partner's id at Mews", "INT12345"],
	["contact", "Contact", "For the reviewers: a name, an address", "integrations@acme.example"],
	["pilot", "Pilot", "The property that will use it first", "Hotel Acme, Prague"],
	["use_case", "Use case", "The review looks for its steps", ""],
	["kind", "Kind", "A private one needs no 48 hours, but every declared operation", ""],
	["every_hours", "Every hours", "From one run to the next if it runs on a schedule: 1 to 24", "24"],
	["webhooks", "Webhooks", "Whether it receives Mews' webhooks", ""],
	["websocket", "WebSocket", "Whether it receives events over a WebSocket", ""],
	["domains", "Domains", "Of the integration's own mail addresses, not guests'", "acme.example"],
]);
const FLAGS = [["", "not stated"], ["true", "yes"], ["false", "no"]];
const CHANGES = [["silence", "silence"], ["error", "make an error"], ["warning", "make a warning"], ["note", "make a note"], ["explain", "only explain"]];

const options = (/** @type {string[][]} */ all) => all.map(([value, title]) => h("option", { value }, title));
const list = (/** @type {string} */ text) => text.split(",").map((own) => own.trim()).filter(Boolean);
const input = (/** @type {string} */ label, /** @type {string} */ value, /** @type {import("../dom.js").Props} */ more) => h("input", { class: "field", type: "text", "aria-label": label, value, spellcheck: "false", autocomplete: "off", ...more });

/**
 * @param {Catalogue} catalogue
 * @param {() => void} touched
 */
export function declarationForm(catalogue, touched) {
	/** @type {Partial<Record<keyof Declaration, string[][]>>} */
	const choices = { use_case: [["", "none"], ...catalogue.useCases.map(({ name, title }) => [name, title])], kind: [["public", "public: listed in the Marketplace"], ["private", "private: for one customer"]], webhooks: FLAGS, websocket: FLAGS };
	const fields = FIELDS.map(([key, title, hint, placeholder]) => {
		const own = choices[key];
		const id = `declared-${key}`;
		const described = { id, class: "field", "aria-describedby": `${id}-hint` };
		const field = own ? h("select", described, options(own)) : h("input", { ...described, type: key === "every_hours" ? "number" : "text", min: 1, max: 24, placeholder, autocomplete: "off", spellcheck: "false" });
		return { key, field, element: h("div", null, h("label", { class: "label", for: id }, title), field, h("p", { class: "hint", id: `${id}-hint` }, hint)) };
	});
	const names = h("datalist", { id: "declared-names" }, catalogue.operations.map(({ name }) => h("option", { value: name })));
	const operations = rows("Add an operation", (name = "", purpose = "") => {
		const [first, second] = [input("Operation", name, { list: names.id, placeholder: "reservations/getAll/2023-06-06" }), input("Purpose", String(purpose), { placeholder: "What it is used for, in your own words" })];
		return { cells: [first, second], key: () => first.value.trim(), value: () => second.value, first: name ? second : first };
	});
	const left = rows("Leave out an exchange", (id = "", reason = "") => {
		const [first, second] = [input("Exchange", id, { placeholder: "Its whole id" }), input("Reason", String(reason), { placeholder: "Why, as shown in the verdict" })];
		return { cells: [first, second], key: () => first.value.trim(), value: () => second.value, first: id ? second : first };
	});
	const rules = rows("Change a rule", (rule = "", change = /** @type {unknown} */ ({ silence: true, reason: "" })) => {
		const { silence, severity, operations: only = [], reason } = /** @type {RuleChange} */ (change);
		const which = h("select", { class: "field", "aria-label": "Rule" }, options(catalogue.rules.map(({ id }) => [id, id])));
		if (rule) which.value = rule;
		const how = h("select", { class: "field", "aria-label": "Change" });
		const where = input("Only for operations", only.join(", "), { list: names.id, placeholder: "all operations" });
		const why = input("Reason", reason, { placeholder: "Why, as shown in the verdict" });
		const about = h("p", { class: "hint" });
		const offer = (/** @type {string} */ now) => {
			const own = catalogue.rules.find(({ id }) => id === which.value);
			const can = own?.canBeSilenced !== false;
			fill(how, options(CHANGES.filter(([value]) => can || value === "explain")));
			how.value = can ? now : "explain";
			about.textContent = own ? `${own.title} (${own.severity})${can ? "" : "; it can only be explained"}` : "";
		};
		which.addEventListener("change", () => offer(how.value));
		offer(silence ? "silence" : (severity ?? "explain"));
		return {
			cells: [which, how, where, why, about],
			key: () => which.value,
			value: () => ({ ...(how.value === "silence" ? { silence: true } : how.value === "explain" ? {} : { severity: how.value }), ...(where.value.trim() ? { operations: list(where.value) } : {}), reason: why.value }),
			first: why,
		};
	});
	/** What was loaded. @type {Declaration} */
	let base = {};

	/**
	 * Rows that can be added and removed.
	 * @param {string} add
	 * @param {(key?: string, value?: unknown) => {cells: Element[], key: () => string, value: () => unknown, first: HTMLElement}} make
	 */
	function rows(add, make) {
		/** @type {Set<ReturnType<typeof make>>} */
		const all = new Set();
		const body = h("ul", { class: "rows" });
		const more = button(add, () => {
			put().first.focus();
			touched();
		}, "small");
		const put = (/** @type {string | undefined} */ key = undefined, /** @type {unknown} */ value = undefined) => {
			const own = make(key, value);
			/** @type {HTMLElement} */
			const line = h("li", { class: `cells-${own.cells.length}` }, own.cells, button("×", () => {
				all.delete(own);
				line.remove();
				more.focus();
				touched();
			}, "small quiet icon", { "aria-label": "Remove" }));
			all.add(own);
			body.append(line);
			return own;
		};
		return {
			element: [body, more],
			put,
			/** @param {Record<string, unknown>} now */
			set(now) {
				all.clear();
				fill(body);
				Object.entries(now).forEach(([key, value]) => put(key, value));
			},
			value: () => Object.fromEntries([...all].filter((own) => own.key()).map((own) => [own.key(), own.value()])),
			find: (/** @type {string} */ key) => [...all].find((own) => own.key() === key),
		};
	}

	return {
		element: h("div", { class: "form", oninput: touched }, names, h("div", { class: "grid" }, fields.map(({ element }) => element)),
			h("h3", null, "Operations and what they are for"), operations.element, h("h3", null, "Rules silenced, changed or explained"), rules.element, h("h3", null, "Exchanges left out of the review"), left.element),
		/** @param {Declaration} now */
		set(now) {
			base = now;
			for (const { key, field } of fields) field.value = key === "domains" ? (now.domains ?? []).join(", ") : String(now[key] ?? (key === "kind" ? "public" : ""));
			operations.set(now.operations ?? {});
			rules.set(now.rules ?? {});
			left.set(now.leave_out ?? {});
		},
		/** @returns {Declaration} */
		value() {
			const now = /** @type {Record<string, unknown>} */ ({ ...base, operations: operations.value(), rules: rules.value(), leave_out: left.value() });
			for (const { key, field } of fields) {
				const text = field.value.trim();
				now[key] = !text || (key === "kind" && text === "public") ? undefined : key === "domains" ? list(text) : key === "every_hours" ? Number(text) : choices[key] === FLAGS ? text === "true" : text;
			}
			return now;
		},
		/** @param {string[]} all */
		declare(all) {
			all.filter((name) => !operations.find(name)).map((name) => operations.put(name))[0]?.first.focus();
		},
		/** @param {string} rule @param {string | null} operation */
		change(rule, operation) {
			const silence = catalogue.rules.find(({ id }) => id === rule)?.canBeSilenced !== false;
			(rules.find(rule) ?? rules.put(rule, { silence, operations: silence && operation ? [operation] : [], reason: "" })).first.focus();
		},
	};
}
