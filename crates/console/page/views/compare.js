// Two exchanges side by side: their JSON, headers and facts, with what differs.

import { fill, h, recorded, said } from "../dom.js";
import { jsonComparison } from "../elements/json-comparison.js";
import { NotJson, parseJson } from "../elements/json-doc.js";
import { took } from "../elements/overview.js";
import { tabs } from "../elements/tabs.js";
import { dateTime, duration, size, status, statusLevel } from "../format.js";
import { address } from "../router.js";

/** @param {import("../router.js").Route} route @param {Context} ctx @returns {import("../router.js").View} */
export function view(route, ctx) {
	const ids = route.path.slice(1, 3);
	const element = h("div", { class: "compare view" });
	const loading = new AbortController();
	const { signal } = loading;
	/** @type {ReturnType<typeof jsonComparison> | null} */
	let shown = null;
	/** @param {(fits: number) => number} by */
	const scroll = (by) => () => shown?.lines.scrollBy(by(shown.lines.fits - 1));
	const removeKeys = ctx.keys.layer("In a comparison", [
		{ keys: ["j", "ArrowDown"], help: "down", run: scroll(() => 1) },
		{ keys: ["k", "ArrowUp"], help: "up", run: scroll(() => -1) },
		{ keys: [" ", "PageDown"], help: "page down", run: scroll((fits) => fits) },
		{ keys: ["b", "PageUp"], help: "page up", run: scroll((fits) => -fits) },
		{ keys: ["g", "Home"], help: "first", run: scroll(() => -Infinity) },
		{ keys: ["G", "End"], help: "last", run: scroll(() => Infinity) },
		{ keys: ["n"], help: "next difference", run: () => shown?.step(true) },
		{ keys: ["N"], help: "previous difference", run: () => shown?.step(false) },
		{ keys: ["q", "Escape"], help: "back", run: () => history.back() },
	]);
	const leaveShown = () => {
		shown?.leave();
		shown = null;
	};

	/** @param {Exchange[]} pair */
	const show = (pair) => {
		const part = tabs("Comparison", () => void showPart());
		part.set([["response", "Responses"], ["request", "Requests"], ["rest", "Facts and headers"]]);
		const showPart = async () => {
			leaveShown();
			const { selected } = part;
			if (selected !== "request" && selected !== "response") return fill(part.panel, pairs(pair.map(facts)));
			fill(part.panel, h("p", { class: "blank" }, "Comparing…"));
			try {
				const [left, right] = await Promise.all(pair.map((exchange) => bodyOf(exchange, selected, signal)));
				if (part.selected !== selected || signal.aborted) return null;
				shown = jsonComparison(left, right, `${selected}s`);
				return fill(part.panel, shown.element);
			} catch (error) {
				if (signal.aborted || !(error instanceof Error)) return null;
				const [left, right] = pair.map((exchange) => exchange[selected]?.bodySha256);
				return fill(part.panel, h("p", { class: "blank" }, error.message, left && left === right && " Both bodies are the same, byte for byte."));
			}
		};
		/** @param {Exchange} exchange */
		const card = (exchange) => {
			const code = exchange.response?.status ?? null;
			return h("a", { class: "compare-card card", href: address(["exchange", exchange.id]) }, h("span", { class: `tag ${statusLevel(code)}` }, status(code)), " ", recorded(exchange.operation, { longest: 200, class: "mono strong" }), h("p", { class: "muted" }, `${dateTime(exchange.startedAt)}, ${duration(took(exchange))}`));
		};
		const swap = h("a", { class: "button small", href: address(["compare", pair[1].id, pair[0].id]) }, "Swap sides");
		fill(element, h("h1", { class: "hush" }, "Comparison"), h("div", { class: "compare-head" }, pair.map(card), swap), part.element, part.panel);
		void showPart();
	};

	const load = async () => {
		fill(element, h("p", { class: "blank" }, "Reading…"));
		try {
			if (ids.length < 2) throw new Error("An address of a comparison names two exchanges: #/compare/ID/ID.");
			show(await Promise.all(ids.map((id) => ctx.api.get(`/api/v1/exchanges/${encodeURIComponent(id)}`, { signal }))));
		} catch (error) {
			if (signal.aborted) return;
			const why = said(error);
			fill(element, h("div", { class: "blank" }, h("h1", null, "These exchanges can't be compared"), h("p", null, recorded(why)), h("button", { class: "button", onclick: () => void load() }, "Try again")));
		}
	};
	void load();
	const leave = () => {
		loading.abort();
		leaveShown();
		removeKeys();
	};
	return { element, title: "Comparison", leave };
}

/** @param {Exchange} exchange @param {"request" | "response"} which @param {AbortSignal} signal */
async function bodyOf(exchange, which, signal) {
	const message = exchange[which];
	const name = `The ${which} of ${exchange.id}`;
	if (!message?.body) throw new Error(`${name} has no recorded body.`);
	try {
		if (message.bodyEncoding === "utf-8") return await parseJson(message.body, { signal });
	} catch (error) {
		if (!(error instanceof NotJson)) throw error;
	}
	throw new Error(`${name} isn't JSON.`);
}

/** @param {Exchange} exchange @returns {[string, string][]} */
function facts(exchange) {
	const { envelope, error, limit, request, response } = exchange;
	/** @type {[string, string | null | undefined][]} */
	const all = [
		["Status", status(response?.status ?? null)],
		["Outcome", exchange.outcome],
		["Error", error && `${error.kind}: ${error.message}`],
		["Method", request.method],
		["URL", request.url],
		["Took", duration(took(exchange))],
		["Sent", size(request.bodyLength)],
		["Received", response && size(response.bodyLength)],
		["Client", envelope.client],
		["Access token", envelope.accessToken],
		["Client token", envelope.clientToken],
		["Limit", limit && `${limit.decision} by ${limit.rule}, ${limit.used} of ${limit.limit} used`],
		["Sent to", exchange.destination?.address],
		["Session", `${exchange.sessionName} ${exchange.sequence}`],
	];
	for (const which of /** @type {const} */ (["request", "response"])) for (const { name, value } of exchange[which]?.headers ?? []) all.push([`${which} ${name.toLowerCase()}`, value]);
	/** A header may come again. @type {Map<string, string>} */
	const byName = new Map();
	for (const [name, value] of all) if (value) byName.set(name, byName.has(name) ? `${byName.get(name)}\n${value}` : value);
	return [...byName];
}

/** A table of both sides, what differs marked. @param {[string, string][][]} sides */
function pairs(sides) {
	const maps = sides.map((side) => new Map(side));
	const rows = [...new Set(sides.flat().map(([name]) => name))].map((name) => {
		const [left, right] = maps.map((map) => map.get(name) ?? "");
		const cell = (text = "") => h("td", { class: "mono" }, recorded(text, { longest: 4000, lines: true }));
		return h("tr", { class: left === right ? "" : "differs" }, h("th", { scope: "row" }, recorded(name), left !== right && h("span", { class: "hush" }, ", differs")), cell(left), cell(right));
	});
	return h("div", { class: "scrolls", tabindex: 0, role: "region", "aria-label": "Comparison" }, h("table", { class: "pairs compared" }, h("tbody", null, rows)));
}
