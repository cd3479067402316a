// Where an exchange's time went.

import { h } from "../dom.js";
import { duration } from "../format.js";

/**
 * The phases that the recorded times tell: name, look, and from when to when in microseconds.
 * @param {TimesUs} times @param {number} waitedMs
 */
export function phases({ forwarded, responseHead, responseEnd }, waitedMs) {
	const end = responseEnd ?? responseHead ?? forwarded ?? 0;
	const waited = Math.min(waitedMs * 1000, forwarded ?? end);
	/** @type {[string, string, number, number | null][]} */
	const all = [
		["Waited for the limit", "wait", 0, waited || null],
		[forwarded === null ? "Not forwarded" : "Received, connected", "own", waited, forwarded ?? (end || null)],
		["Waited for Mews", "mews", forwarded ?? 0, forwarded === null ? null : responseHead],
		[responseHead === null ? "No response" : "Response", responseHead === null ? "wait" : "body", responseHead ?? forwarded ?? 0, forwarded === null ? null : responseEnd],
	];
	return all.flatMap(([name, look, from, until]) => (until === null ? [] : [{ name, look, from, until }]));
}

/** @param {TimesUs} times @param {number} waitedMs */
export function waterfall(times, waitedMs) {
	const all = phases(times, waitedMs);
	if (all.length === 0) return h("p", { class: "muted" }, "No times were recorded.");
	const share = (time = 0) => `${(time / Math.max(1, ...all.map(({ until }) => until))) * 100}%`;
	const rows = all.map(({ name, look, from, until }) => {
		const bar = h("span", { class: `wf-bar ${look}` });
		bar.style.insetInlineStart = share(from);
		bar.style.inlineSize = `max(2px, ${share(until - from)})`;
		return h("tr", null, h("th", { scope: "row" }, name), h("td", { class: "wf-track" }, h("div", null, bar)), h("td", { class: "right" }, duration(until - from)), h("td", { class: "right muted" }, duration(until)));
	});
	const heads = ["Phase", "Share", "Took", "Until"].map((name) => h("th", { scope: "col" }, name));
	return h("table", { class: "waterfall" }, h("thead", null, h("tr", null, heads)), h("tbody", null, rows));
}
