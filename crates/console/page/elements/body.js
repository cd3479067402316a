// A recorded body: as JSON, text, picture, PDF or bytes, and what is to be said about it.

import { fill, h } from "../dom.js";
import { size } from "../format.js";
import { textButton } from "./find-bar.js";
import { hexView } from "./hex.js";
import { NotJson, parseJson } from "./json-doc.js";
import { jsonTree } from "./json-tree.js";
import { textView } from "./text-view.js";

/** How files begin that are shown as such. */
const MAGIC = { "image/png": "\x89PNG\r\n", "image/jpeg": "\xff\xd8\xff", "image/gif": "GIF8", "image/webp": "RIFF", "application/pdf": "%PDF-" };

/** The bytes of base64. @param {string} text */
export const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

/** The decoded length of what was recorded, in bytes. @param {HttpBody} body */
function decodedLength({ body, bodyEncoding }) {
	return bodyEncoding === "base64" ? fromBase64(body ?? "").length : new Blob([body ?? ""]).size;
}

/** Sizes in words. @param {HttpBody} body */
export function sizes(body) {
	const isDecoded = body.wireBody !== undefined;
	return `${size(body.bodyLength)}${isDecoded ? ` on the wire (${body.contentEncoding}), ${size(decodedLength(body))} decoded` : ""}`;
}

/** What must be known about a body to read it rightly. @param {HttpBody} body */
export function remarksOn(body) {
	const recorded = () => (body.wireBody === undefined ? decodedLength(body) : fromBase64(body.wireBody).length);
	const remarks = [
		body.withheld === "interrupted" && "Not recorded: the proxy ended while the request was in flight.",
		body.withheld && body.withheld !== "interrupted" && (body.withheld === "absent" ? `Not in the file that it was imported from${body.bodyLength ? `, which states ${size(body.bodyLength)}` : ""}.` : `${size(body.bodyLength)} withheld, because it may contain tokens that can't be located (${body.withheld.replaceAll("-", " ")}).`),
		body.truncated && !body.withheld && `Truncated: only the first ${size(recorded())} of ${size(body.bodyLength)} were recorded.`,
		body.undecoded && `Not entirely valid ${body.contentEncoding}: shown as it was received.`,
		body.masked && "Values were masked before export.",
	];
	return remarks.filter(Boolean).map((text) => h("p", { class: "say warn" }, text));
}

/**
 * What takes time appears in the element once it is ready.
 * @param {HttpBody} body @param {Context} ctx
 * @param {{ label: string, signal: AbortSignal, remarks?: Remark[], download?: () => void }} options
 * @returns {Shown}
 */
export function bodyView(body, ctx, { label, signal, remarks, download }) {
	const element = h("div", { class: "fills" });
	/** @type {Shown | null} */
	let inner = null;
	const tools = download && textButton("Download", `Download ${label}`, download);
	/** @param {Shown} view @param {string} [why] */
	const show = (view, why) => {
		inner = view;
		fill(element, why && h("p", { class: "say muted" }, why), view.element);
	};
	const text = body.body;
	if (text === null) fill(element, h("p", { class: "blank" }, body.bodyLength === 0 ? "No body." : "The body was not recorded."));
	else if (body.bodyEncoding === "base64") show(bytesView(fromBase64(text), label, tools));
	// Some files are text by chance.
	else if (/^(%PDF-|GIF8)/.test(text)) show(bytesView(new TextEncoder().encode(text), label, tools));
	else if (!/^\ufeff?\s*[[{"]/.test(text)) show(textView(text, label, tools));
	else {
		fill(element, h("p", { class: "blank" }, "Reading…"));
		parseJson(text, { signal }).then(
			(doc) => show(jsonTree(doc, ctx, { label, remarks, tools })),
			(error) => {
				if (!signal.aborted) show(textView(text, label, tools), error instanceof NotJson ? `Not shown as a tree: ${error.message} at character ${error.offset + 1}.` : `${error}`);
			},
		);
	}
	return {
		element,
		get acts() {
			return inner?.acts;
		},
		leave: () => inner?.leave?.(),
	};
}

/** Pictures and PDF as such, everything else as bytes. @param {Uint8Array<ArrayBuffer>} bytes @param {string} label @param {Child} [tools] @returns {Shown} */
export function bytesView(bytes, label, tools) {
	const start = String.fromCharCode(...bytes.subarray(0, 8));
	const type = Object.entries(MAGIC).find(([, magic]) => start.startsWith(magic))?.[0];
	const said = h("span", { class: "muted grows" }, type ?? "binary data");
	if (!type) {
		const hex = hexView(bytes, label);
		return { ...hex, element: h("div", { class: "fills" }, h("div", { class: "find-bar" }, said, tools), hex.element) };
	}
	// The type is ours, so that no browser takes the file for a page.
	const url = URL.createObjectURL(new Blob([bytes], { type }));
	const isImage = type.startsWith("image/");
	const shown = isImage ? h("img", { src: url, alt: label }) : h("iframe", { src: url, title: label });
	shown.addEventListener("load", () => "naturalWidth" in shown && said.append(`, ${shown.naturalWidth} × ${shown.naturalHeight} pixels`));
	shown.addEventListener("error", () => fill(said, "The browser can't show this picture."));
	const open = !isImage && h("a", { class: "button quiet small", href: url, target: "_blank" }, "Open in a tab");
	const element = h("div", { class: "fills" }, h("div", { class: "find-bar" }, said, open, tools), h("div", { class: "picture scrolls", tabindex: 0, role: "region", "aria-label": label }, shown));
	return { element, leave: () => URL.revokeObjectURL(url) };
}
