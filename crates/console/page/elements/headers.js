// Headers and cookies as tables.

import { h, recorded } from "../dom.js";
import { copyButton } from "./copy.js";

/**
 * The cookies of headers: of a response also with what `Set-Cookie` says about them.
 * @param {HttpHeader[]} headers
 * @returns {(HttpHeader & { about: string[] })[]}
 */
export function cookies(headers) {
	/** @param {string} part @param {string[]} about */
	const cookie = (part, about) => {
		const [, name, value] = /^\s*(?:([^=]*?)\s*=)?\s*(.*?)\s*$/s.exec(part) ?? [];
		return { name: name ?? "", value: value ?? "", about };
	};
	return headers.flatMap(({ name, value }) => {
		const [first, ...rest] = value.split(";");
		if (/^set-cookie$/i.test(name)) return [cookie(first, rest.map((part) => part.trim()))];
		return /^cookie$/i.test(name) ? [first, ...rest].filter((part) => part.trim()).map((part) => cookie(part, [])) : [];
	});
}

/** @param {(HttpHeader & { about?: string[] })[]} pairs @param {Context} ctx @param {string} what @returns {Shown} */
export function pairTable(pairs, ctx, what) {
	const rows = pairs.map(({ name, value, about = [] }) =>
		h(
			"tr",
			null,
			h("th", { scope: "row" }, recorded(name, { longest: 1000 })),
			h("td", { class: "mono" }, recorded(value, { longest: 9000 }), about.map((one) => [" ", h("span", { class: "tag" }, recorded(one, { longest: 200 }))])),
			h("td", null, copyButton(value, ctx, "The value")),
		),
	);
	const content = rows.length > 0 ? h("table", { class: "pairs" }, h("tbody", null, rows)) : h("p", { class: "blank" }, `No ${what.toLowerCase()}.`);
	return { element: h("div", { class: "scrolls", tabindex: 0, role: "region", "aria-label": what }, content) };
}
