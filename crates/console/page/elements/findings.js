// What a reviewer would point out: by weight, each with what to do and its exchanges; and the checklist.

import { h, recorded } from "../dom.js";
import { count } from "../format.js";
import { address } from "../router.js";
import { LEVEL, VERDICT, blank, button, card, exchangeLink, exchangeLinks, folded, muted, sentence, tag } from "./parts.js";

const WEIGHTS = /** @type {[Severity, string, string][]} */ ([["error", "Errors", "would fail the review"], ["warning", "Warnings", "would raise questions"], ["note", "Notes", ""]]);

/** The most of a list that is drawn unfolded. */
const MOST = 60;

/** @param {Children} title @param {string} level @param {Children} aside @param {HTMLElement[]} items */
const weight = (title, level, aside, items) => items.length > 0 && h("section", { class: "weight" }, h("h3", null, title, " ", tag(level, count(items.length)), " ", aside), folded(items, "findings", MOST));

/** @param {Finding} own @param {Children} beside @param {Children[]} below */
const item = (own, beside, ...below) => h("li", { dataset: { rule: own.rule, level: LEVEL[own.severity] } }, h("div", { class: "row" }, h("code", { class: "muted" }, own.rule), beside), h("p", { class: "strong" }, sentence(own.message)), below);

/**
 * @param {Review} review
 * @param {Map<string, string>} titles
 * @param {(rule: string, operation: string | null) => void} change
 */
export function findings(review, titles, change) {
	const session = review.run.session ?? "";
	if (!review.findings.length) return review.verdict === "empty" ? blank("Nothing to review yet", "The session has no exchange.") : blank("Nothing to fix", "There is nothing a reviewer would ask about.");
	return WEIGHTS.map(([severity, title, meaning]) => weight(title, LEVEL[severity], muted(meaning), review.findings.filter((own) => own.severity === severity).map((own) => {
		const { rule, operation, ruling } = own;
		const was = ruling && (ruling.was === severity ? "The partner says: " : `${ruling.was} by default; the partner says: `);
		return item(own, [
			h("span", { class: "spacer" }),
			button("Silence or explain", () => change(rule, operation), "small quiet changes", { dataset: { key: `${rule} ${operation} ${own.message}` }, title: titles.get(rule), "aria-label": `Silence or explain ${rule}` }),
		],
		h("p", null, sentence(own.advice)),
		ruling && h("p", { class: "muted" }, was, sentence(ruling.reason)),
		h("p", { class: "proof" }, exchangeLinks(own.exchanges, own.count), operation && own.exchanges.length > 0 && h("a", { class: "muted", href: address(["traffic"], { session, operation }) }, "all calls of the operation")));
	})));
}

/** What the declaration silences and leaves out. @param {Review} review */
export const silenced = ({ silenced: quiet, leftOut = [] }) => [
	weight("Silenced by the declaration", "", null, quiet.map((own) => item(own, muted(own.severity), h("p", { class: "muted" }, "Reason: ", sentence(own.ruling?.reason ?? "")), h("p", { class: "proof" }, exchangeLinks(own.exchanges, own.count))))),
	weight("Left out by the declaration", "", null, leftOut.map((own) => h("li", null,
		h("p", null, own.operation ? [exchangeLink(own.exchange), ` ${own.status ?? "---"} `, recorded(own.operation)] : `${own.exchange}: not in this session`),
		h("p", { class: "muted" }, "Reason: ", sentence(own.reason))))),
];

/** @param {Check[]} checks @param {(rule: string) => void} show */
export const checklist = (checks, show) => h("ul", { class: "points" }, checks.map(({ title, state, figure, rules, silenced: quiet = [] }) => h("li", null,
	tag({ passed: "good", failed: "bad", "not-judged": "" }[state], state.replace("-", " ")),
	h("div", null, h("p", { class: "strong" }, title), h("p", { class: "muted" }, sentence(figure), rules.map((rule) => [" ", h("button", { class: "as-link", onclick: () => show(rule) }, rule), quiet.includes(rule) && " silenced by the partner"]))))));

/** @param {Comparison} found @param {string} before @param {string} after The names of the sessions. */
export function comparison(found, before, after) {
	const verdict = (/** @type {Verdict} */ own) => tag(...VERDICT[own]);
	const plain = (/** @type {Finding} */ own, was = own.count) => item(own, muted(own.severity), was !== own.count && muted(`was found ${count(was)} times`), h("p", { class: "proof" }, exchangeLinks(own.exchanges, own.count)));
	return card([recorded(after, { longest: 80 }), muted(" against "), recorded(before, { longest: 80 })], h("a", { class: "button small", href: "#/sessions" }, "Close"),
		h("p", { class: "weight" }, verdict(found.was), " → ", verdict(found.is), muted(` ${count(found.fixed.length)} fixed, ${count(found.new.length)} new, ${count(found.standing.length)} ${found.standing.length === 1 ? "remains" : "remain"}`)),
		weight("Fixed", "good", null, found.fixed.map((own) => plain(own))),
		weight("New", "bad", null, found.new.map((own) => plain(own))),
		weight("Remain", "", null, found.standing.map(({ finding, was }) => plain(finding, was))));
}
