// A request against Mews' documentation: each finding, and where in the JSON it is.

import { h, recorded } from "../dom.js";
import { counted } from "../format.js";
import { bodyView } from "./body.js";

/** Each finding at its place. @param {Contract | null} contract @returns {Remark[]} */
export function remarksOf(contract) {
	return (contract?.findings ?? []).map(({ pointer, expected, found, ends }) => ({ pointer, text: `expected ${expected}, found ${found}${ends ? `; ends on ${ends}` : ""}` }));
}

/** @param {Contract} contract @param {Exchange} exchange @param {Context} ctx @param {AbortSignal} signal @returns {Shown} */
export function contractView(contract, exchange, ctx, signal) {
	const { checked, documentation, findings, known, operation, why } = contract;
	const { notes, revision, suggestion, title } = contract.sideline;
	const remarks = remarksOf(contract);
	const [level, verdict] = !checked
		? ["info", `Not checked: ${why}.`]
		: findings.length === 0
			? ["good", "The request is as Mews documents it."]
			: ["finding", `${counted(findings.length, "finding")} against Mews' documentation, which contradicts itself in places: a finding is a hint.`];
	const tree = bodyView(exchange.request, ctx, { label: "the request's body", signal, remarks });
	const list = remarks.map(({ pointer, text }, index) =>
		h(
			"li",
			null,
			h("button", { title: "Show its place", onclick: () => tree.acts?.showPointer?.(pointer) }, recorded(pointer || "the body", { class: "mono strong" })),
			" ",
			recorded(text, { longest: 1000 }),
			" ",
			h("span", { class: "tag" }, findings[index].kind.replaceAll("-", " ")),
			findings[index].disputed && h("p", { class: "muted" }, `May be right after all: ${findings[index].disputed}`),
		),
	);
	const link = documentation?.startsWith("https://") && h("p", null, h("a", { href: documentation, target: "_blank", rel: "noopener noreferrer" }, `Mews' documentation: ${title ?? operation}`), h("span", { class: "muted" }, `, as of ${revision}`));
	const said = [notes.length > 0 && `The documentation says: ${notes.join("; ")}.`, suggestion && `Meant ${suggestion.operation}? ${suggestion.reason}.`];
	const head = h(
		"div",
		{ class: "contract-head", tabindex: 0, role: "region", "aria-label": "Findings" },
		h("p", { class: `callout ${level}` }, recorded(verdict)),
		link,
		said.map((text) => text && h("p", { class: "muted" }, recorded(text))),
		h("ol", { class: "findings-at" }, list),
	);
	return {
		element: h("div", { class: "fills" }, head, known && tree.element),
		get acts() {
			return tree.acts;
		},
		leave: tree.leave,
	};
}
