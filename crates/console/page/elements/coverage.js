// Declared and called operations, and what the use case still misses.

import { h, recorded } from "../dom.js";
import { count } from "../format.js";
import { address } from "../router.js";
import { blank, button, card, mono, muted, table, tag } from "./parts.js";

/**
 * @param {Review} review
 * @param {Map<string, Catalogue["operations"][0]>} known
 * @param {(operations: string[]) => void} declare
 */
export function coverage({ coverage: own, run, useCase, declared: stated }, known, declare) {
	const weigh = (/** @type {CoverageReview} */ { calls, succeeded }) => (calls ? (succeeded ? 2 : 1) : 0);
	const list = (/** @type {CoverageReview[]} */ operations) => table(["Operation", "State", ">Calls", ">Good"], operations.map((one) => {
		const { operation, calls, succeeded, declared, purpose } = one;
		const about = known.get(operation);
		const [level, state] = !declared ? ["", "not declared"] : [["bad", "not called"], ["bad", "only failed"], ["good", "good"]][weigh(one)];
		return [
			[calls ? h("a", { href: address(["traffic"], { session: run.session ?? "", operation }) }, mono(operation)) : mono(operation),
				about?.documentation && [" ", h("a", { class: "muted", href: about.documentation, target: "_blank", rel: "noreferrer noopener", title: `${about.title} in Mews' documentation` }, "docs")],
				purpose && h("p", { class: "muted" }, recorded(purpose))],
			tag(level, state), count(calls), count(succeeded),
		];
	}));
	const declared = own.operations.filter((one) => one.declared).toSorted((a, b) => weigh(a) - weigh(b) || a.operation.localeCompare(b.operation));
	const others = own.operations.filter((one) => !one.declared);
	const names = others.map(({ operation }) => operation).filter((name) => known.has(name));
	return [
		declared.length
			? card("Declared operations", muted(`${count(own.succeeded)} of ${count(own.declared)} succeeded`), list(declared))
			: card("Declared operations", null, blank("No operation is declared", "The reviewers compare the operations in the application with those they see.", names.length > 0 && button("Declare what was called", () => declare(names), "primary changes"))),
		useCase ? steps(useCase) : stated && card("Use case", muted("none is declared")),
		others.length > 0 && card(["Called but not declared ", tag("", count(others.length))], declared.length > 0 && names.length > 0 && button("Declare them", () => declare(names), "small changes", { dataset: { key: "declare" } }), list(others)),
	];
}

/** @param {NonNullable<Review["useCase"]>} own */
function steps({ title, sections }) {
	const seen = sections.filter(({ operations }) => operations.some(({ succeeded }) => succeeded)).length;
	return card(["Use case: ", recorded(title)], muted(`${seen} of ${sections.length} steps seen`), h("ul", { class: "points" }, sections.map((section) => {
		const missing = section.operations.filter(({ succeeded }) => !succeeded);
		const [all, good] = [section.operations.length, section.operations.length - missing.length];
		return h("li", null, tag(good ? (missing.length ? "warn" : "good") : "bad", `${good} of ${all}`),
			h("div", null, h("p", { class: "strong" }, recorded(section.title)),
				missing.length > 0 && h("p", { class: "muted" }, "Missing: ", missing.map(({ operation, calls }, place) => [place > 0 && ", ", mono(operation), calls > 0 && " (only failed)"]))));
	})));
}
