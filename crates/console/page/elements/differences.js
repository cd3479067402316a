// How the traffic of two sessions differs: the differences by operation, each with its exchanges.

import { h, recorded } from "../dom.js";
import { count } from "../format.js";
import { address } from "../router.js";
import { LEVEL, blank, button, card, exchangeLink, folded, muted, sentence, tag } from "./parts.js";

/** The most differences of an operation that are drawn unfolded. */
const MOST = 20;

/** @param {Difference} own */
const item = (own) => h("li", { dataset: { kind: own.kind, level: LEVEL[own.severity] } },
	h("div", { class: "row" }, tag(LEVEL[own.severity], own.severity), h("code", { class: "muted" }, `${own.kind} ${own.change}`), !own.certain && muted("may be chance")),
	h("p", null, sentence(own.message)),
	own.examples.length > 0 && h("p", { class: "proof" }, own.examples.map(({ side, exchange }) => [exchangeLink(exchange), muted(side === "a" ? " before " : " now ")])));

/**
 * @param {Differences} found
 * @param {string} session The later session's id, whose calls are linked to.
 * @param {() => unknown} download
 */
export function differences(found, session, download) {
	const { counts } = found;
	/** @type {Map<string | null, Difference[]>} */
	const groups = new Map();
	for (const own of found.differences) groups.set(own.operation, [...(groups.get(own.operation) ?? []), own]);
	const same = found.operations.length - [...groups.keys()].filter((operation) => operation !== null).length;
	const numbers = /** @type {[number, string, string][]} */ ([[counts.error, "error", "bad"], [counts.warning, "warning", "warn"], [counts.note, "note", "info"]]);
	return card(["Traffic ", numbers.filter(([number]) => number).map(([number, what, level]) => [tag(level, `${count(number)} ${what}${number === 1 ? "" : "s"}`), " "])], button("Download the page", download, "small"),
		!groups.size && blank("No difference", `${count(found.operations.length)} operations are called on both sides, with the same results.`),
		[...groups].map(([operation, own]) => h("section", { class: "weight" },
			h("h3", null, operation === null ? "All operations" : h("a", { class: "mono", href: address(["traffic"], { session, operation }) }, recorded(operation, { longest: 200 }))),
			folded(own.map(item), "findings", MOST))),
		groups.size > 0 && same > 0 && h("p", { class: "muted" }, `No difference in ${count(same)} other ${same === 1 ? "operation" : "operations"}.`),
		found.bounds.map((bound) => h("p", { class: "muted" }, "Left out: ", sentence(bound))),
		h("details", null, h("summary", null, "What is a difference"), h("p", { class: "muted" }, found.method)));
}
