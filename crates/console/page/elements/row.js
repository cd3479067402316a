// One row of the list: the columns of `tail`, painted into elements that are made once and used again.

import { h, visible } from "../dom.js";
import { duration, shortId, size, status, statusLevel, time, token } from "../format.js";

/** @typedef {import("../api.js").Row} Row */

/** The columns: class, title, and what it means. */
const COLUMNS = /** @type {const} */ ([
	["c-mark", "", "Marked"],
	["c-time", "Time", "When the request came"],
	["c-status", "Status", "The response's status"],
	["c-operation", "Operation", "The operation"],
	["c-took", "Took", "From the request's first byte to the end of the response"],
	["c-sent", "Sent", "Size of the request's body"],
	["c-received", "Received", "Size of the response's body"],
	["c-left", "Left", "Requests left under the limit"],
	["c-token", "Token", "The access token's pseudonym"],
	["c-session", "Session", "The session"],
	["c-marks", "", "What is notable"],
]);

/** Characters of a value that a row shows. */
const LONGEST = 200;

/** The titles above the list. Each row says its own, so they are hidden from screen readers. */
export function listHead() {
	return h("div", { class: "vrow list-head", "aria-hidden": "true" }, COLUMNS.map(([name, title, means]) => h("span", { class: name, title: means }, title)));
}

/** The texts of a row's element. @type {WeakMap<HTMLElement, {cells: Record<string, Text>, event: HTMLElement, finding: HTMLElement, origin: HTMLElement}>} */
const PARTS = new WeakMap();

/** A row without content. */
export function makeRow() {
	/** @type {Record<string, Text>} */
	const cells = {};
	const [event, finding, origin] = ["event", "finding", "origin"].map((name) => h("span", { class: `m-${name}` }));
	const row = h("div", { class: "vrow", role: "row" }, COLUMNS.map(([name]) => {
		if (name === "c-marks") return h("span", { class: name, role: "gridcell" }, event, finding, origin);
		const text = document.createTextNode("");
		cells[name] = text;
		return h("span", { class: name, role: "gridcell" }, text);
	}));
	PARTS.set(row, { cells, event, finding, origin });
	return row;
}

/** @param {Text} node @param {string} text */
function set(node, text) {
	if (node.data !== text) node.data = text;
}

/** @param {HTMLElement} element @param {string} text */
function say(element, text) {
	if (element.textContent !== text) element.textContent = text;
}

/**
 * @param {HTMLElement} element
 * @param {number} position
 * @param {Row | undefined} row `undefined` while it is being fetched.
 * @param {{cursor: boolean, open: boolean, marked: boolean}} is
 */
export function paintRow(element, position, row, is) {
	const parts = PARTS.get(element);
	if (!parts) return;
	const { cells, event, finding, origin } = parts;
	element.id = `row-${position}`;
	element.setAttribute("aria-rowindex", String(position + 1));
	element.setAttribute("aria-selected", String(is.open || is.cursor));
	const level = row?.id ? (row.webSocket && row.status === null ? "info" : statusLevel(row.status)) : "none";
	const name = `vrow s-${level}${is.cursor ? " is-cursor" : ""}${is.open ? " is-open" : ""}${row ? "" : " is-absent"}${row?.limit && row.limit.left === 0 ? " is-out" : ""}`;
	if (element.className !== name) element.className = name;
	set(cells["c-mark"], is.marked ? "●" : "");
	if (!row || row.unreadable !== undefined) {
		for (const [column, cell] of Object.entries(cells)) set(cell, column === "c-time" && !row ? "…" : "");
		if (row) set(cells["c-operation"], "unreadable");
		[event, finding, origin].forEach((part) => say(part, ""));
		say(event, visible(row?.unreadable ?? "", LONGEST));
		element.title = "";
		return;
	}
	set(cells["c-time"], time(row.startedAt));
	set(cells["c-status"], status(row.status));
	set(cells["c-operation"], `${row.direction === "incoming" ? "← " : ""}${visible(row.operation, LONGEST)}`);
	set(cells["c-took"], duration(row.durationUs));
	set(cells["c-sent"], size(row.requestBytes));
	set(cells["c-received"], size(row.responseBytes));
	set(cells["c-left"], row.limit ? `${row.limit.left}/${row.limit.limit}` : "");
	set(cells["c-token"], token(row.token));
	set(cells["c-session"], visible(row.sessionName, LONGEST));
	say(event, row.marks.map((mark) => visible(mark, LONGEST)).join("  "));
	say(finding, row.findings ? `!${row.findings > 1 ? row.findings : ""} ${visible(row.firstFinding ?? "", LONGEST)}` : "");
	say(origin, visible(row.origin ?? "", LONGEST));
	element.title = `${visible(row.method, 20)} ${visible(row.path, LONGEST)}\n${row.outcome} · ${visible(row.client ?? "no Client", 100)} · ${shortId(row.id)}`;
}
