// A request against Mews' documentation: each finding, and where in the JSON it is.

import { h, recorded } from "../dom.js";
import { counted } from "../format.js";
import { bodyView } from "./body.js";

/** Each finding at its place. @param {Contract | null} contract @returns {Remark[]} */
export function remarksOf(contract) {
	// A message may begin with the place.
	return (contract?.findings ?? []).map(({ pointer, message }) => ({ pointer, text: message.startsWith(`${pointer || "body"}: `) ? message.slice((pointer || "body").length + 2) : message }));
}

/** @param {Contract} contract @param {Exchange} exchange @param {Context} ctx @param {AbortSignal} signal @returns {Shown} */
export function contractView(contract, exchange, ctx, signal) {
	const { checked, documentation, findings, known, operation, why } = contract;
	const remarks = remarksOf(contract);
	const [level, verdict] = !known
		? ["info", "Mews documents no such operation, so there is nothing to check."]
		: !checked
			? ["info", `Not checked: ${why ?? "the body was not recorded in full"}.`]
			: findings.length === 0
				? ["good", "The request is as Mews documents it."]
				: ["finding", `${counted(findings.length, "finding")} against Mews' documentation, which contradicts itself in places: a finding is a hint.`];
	const tree = bodyView(exchange.request, ctx, { label: "the request's body", signal, remarks });
	const list = remarks.map(({ pointer, text }, index) =>
		h(
			"li",
			null,
			h("button", { type: "button", title: "Show its place", onclick: () => tree.acts?.showPointer?.(pointer) }, recorded(pointer || "the body", { class: "mono strong" })),
			" ",
			recorded(text, { longest: 1000 }),
			" ",
			h("span", { class: "tag" }, findings[index].kind),
		),
	);
	const link = documentation?.startsWith("https://") && h("a", { href: documentation, target: "_blank", rel: "noopener noreferrer" }, "Mews' documentation of ", recorded(operation));
	const head = h("div", { class: "contract-head", tabindex: 0, role: "region", "aria-label": "Findings" }, h("p", { class: `callout ${level}` }, verdict), link, h("ol", { class: "findings-at" }, list));
	return {
		element: h("div", { class: "fills" }, head, known && tree.element),
		get acts() {
			return tree.acts;
		},
		leave: tree.leave,
	};
}
