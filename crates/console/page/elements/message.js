// A request or a response: body, headers, cookies, and as it was on the wire.

import { fill, h, recorded } from "../dom.js";
import { count } from "../format.js";
import { bodyView, bytesView, fromBase64, remarksOn, sizes } from "./body.js";
import { textButton } from "./find-bar.js";
import { cookies, pairTable } from "./headers.js";
import { tabs } from "./tabs.js";
import { textView } from "./text-view.js";

/**
 * @param {"request" | "response"} which @param {Exchange} exchange @param {Context} ctx
 * @param {{ signal: AbortSignal, part: string, onPart: (part: string) => void, remarks?: Remark[] }} options
 * @returns {Shown}
 */
export function messageView(which, exchange, ctx, { signal, part, onPart, remarks }) {
	const message = exchange[which];
	if (!message) return { element: h("p", { class: "blank" }, "No response.") };
	const label = `the ${which}'s body`;
	const download = (query = "") => {
		ctx.api.download(`/api/v1/exchanges/${exchange.id}/body?of=${which}${query}`).catch((error) => ctx.notify("bad", error.message));
	};
	const has = message.body !== null;
	/** @type {Shown | null} */
	let inner = null;
	const parts = tabs(which === "request" ? "Request" : "Response", (name) => {
		onPart(name);
		show();
	}, "inner");
	const all = cookies(message.headers);
	const make = () => {
		switch (parts.selected) {
			case "headers":
				return pairTable(message.headers, ctx, "Headers");
			case "cookies":
				return pairTable(all, ctx, "Cookies");
			case "wire":
				return wireView(which, exchange, has && textButton("Download", "Download the body as it was on the wire", () => download()));
			default:
				return bodyView(message, ctx, { label, signal, remarks, download: has ? () => download("&decoded=true") : undefined });
		}
	};
	const show = () => {
		inner?.leave?.();
		inner = make();
		fill(parts.panel, remarksOn(message), inner.element);
	};
	parts.set([["body", "Body"], ["headers", "Headers", count(message.headers.length)], ["cookies", "Cookies", all.length > 0 ? count(all.length) : ""], ["wire", "On the wire"]]);
	parts.select(part);
	show();
	const [first, rest] = "url" in message ? [message.method, message.url] : [message.status, message.reason ?? ""];
	const head = h("div", { class: "message-head" }, h("p", { class: "mono grows" }, h("b", null, recorded(`${first}`)), " ", recorded(rest, { longest: 2000 })), h("p", { class: "muted" }, sizes(message)));
	return {
		element: h("div", { class: "fills" }, head, parts.element, parts.panel),
		get acts() {
			return inner?.acts;
		},
		leave: () => inner?.leave?.(),
	};
}

/**
 * A message as it was sent: in HTTP/1 syntax, whatever its version, with the body not decoded.
 * @param {"request" | "response"} which @param {Exchange} exchange @param {Child} tools
 * @returns {Shown}
 */
function wireView(which, { request, response }, tools) {
	const message = which === "request" || !response ? request : response;
	const start = "url" in message ? `${message.method} ${message.url.replace(/^[^/]*\/\/[^/?#]*/, "") || "/"} ${message.httpVersion}` : `${message.httpVersion} ${message.status} ${message.reason ?? ""}`.trimEnd();
	const head = [start, ...message.headers.map(({ name, value }) => `${name}: ${value}`), "", ""].join("\r\n");
	const note = h("p", { class: "say muted" }, "In HTTP/1 syntax, with tokens as pseudonyms.");
	const binary = message.wireBody ?? (message.bodyEncoding === "base64" ? message.body : null);
	if (binary === null) {
		const text = textView(head + (message.body ?? ""), `the ${which} on the wire`, tools);
		return { ...text, element: h("div", { class: "fills" }, note, text.element) };
	}
	const body = bytesView(fromBase64(binary), "The body on the wire", tools);
	const text = h("pre", { class: "wire-head", tabindex: 0, role: "region", "aria-label": "The head" }, recorded(head.trimEnd(), { longest: Infinity, lines: true }));
	return { ...body, element: h("div", { class: "fills" }, note, text, body.element) };
}
