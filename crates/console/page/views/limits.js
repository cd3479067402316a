// The limits: what is used and left of each rule and token, when the next permit is free, and what was refused by whom.

import { fill, h, prose, recorded, visible } from "../dom.js";
import { blank, card, meter, muted, refill, selecting, table } from "../elements/parts.js";
import { refusalLane, windowChart } from "../elements/windows.js";
import { count, counted, duration, span, token } from "../format.js";
import { poll } from "../poll.js";
import { address } from "../router.js";

/**
 * @param {Route} _route
 * @param {Context} ctx
 * @returns {View}
 */
export function view(_route, ctx) {
	const leaving = new AbortController();
	const { signal } = leaving;
	const state = h("p", { class: "muted", role: "status" });
	const rules = h("div", { class: "stack" });
	const lanes = [refusalLane("by us", "warn"), refusalLane("by Mews", "bad")];
	const refusals = card("Refused in the last 30 minutes", null, lanes.map(({ element }) => element));
	refusals.hidden = true;
	/** @type {Map<string, {chart: ReturnType<typeof windowChart>, about: HTMLElement, keys: HTMLElement}>} */
	const cards = new Map();
	/** @type {LimitHistory | null} */
	let history = null;
	let at = 0;
	/** @type {Promise<{proxy: unknown}> | undefined} */
	let status;
	const chart = () => history?.rules.forEach((own) => history && cards.get(own.rule)?.chart.draw(history, own));
	const countdown = () => {
		const passed = performance.now() - at;
		for (const cell of /** @type {NodeListOf<HTMLElement>} */ (rules.querySelectorAll("[data-free]"))) {
			const [blocked, free] = [Number(cell.dataset.blocked) - passed, Number(cell.dataset.free) - passed];
			[cell.textContent, cell.className] = blocked > 0 ? [`blocked by Mews ${seconds(blocked)}`, "bad"] : free > 0 ? [`free in ${seconds(free)}`, "warn"] : ["free now", "muted"];
		}
	};

	void poll(1000, signal, async () => {
		const limits = /** @type {LimitState[]} */ ((await ctx.api.get("/api/v1/limits", { signal })).limits);
		at = performance.now();
		const by = Map.groupBy(limits, ({ rule }) => rule);
		for (const rule of by.keys()) {
			if (cards.has(rule)) continue;
			if (!cards.size) fill(rules);
			const made = { chart: windowChart(rule), about: muted(), keys: h("div") };
			cards.set(rule, made);
			rules.append(card(recorded(rule, { longest: 120 }), made.about, made.chart.element, made.keys));
			chart();
		}
		for (const [rule, { about, keys }] of cards) {
			const own = by.get(rule) ?? [];
			if (own[0]) about.textContent = `${counted(own[0].limit, "request")} in ${own[0].windowMs < 60_000 ? `${own[0].windowMs / 1000} s` : span(own[0].windowMs / 1000)}`;
			if (selecting(keys)) continue;
			// The fullest first, as in `top`.
			refill(keys, table(["Token", "Used", ">Left", "Next permit", ">Refused by us", ">Refused by Mews", ">Delayed"], own.sort((a, b) => a.left / a.limit - b.left / b.limit || a.key.localeCompare(b.key)).map(cells)));
		}
		countdown();
		state.textContent = limits.length ? `${counted(limits.length, "window")} in use` : "";
		if (cards.size) return;
		const recording = (await (status ??= ctx.api.get("/api/v1/status", { signal }))).proxy;
		fill(rules, h("div", { class: "card" }, recording ? blank("No requests counted yet", "Each limit appears with the first request that it counts.") : blank("Nothing is being recorded", prose("Limits exist only while `nightaudit serve` runs."))));
	}, (error) => (state.textContent = visible(/** @type {Error} */ (error).message)));

	void poll(10_000, signal, async () => {
		history = /** @type {LimitHistory} */ (await ctx.api.get("/api/v1/limits/history?minutes=30", { signal }));
		chart();
		refusals.hidden = !history.rules.length;
		lanes[0].draw(history, history.refused);
		lanes[1].draw(history, history.refusedByMews);
	});

	const ticking = setInterval(countdown, 100);
	signal.addEventListener("abort", () => clearInterval(ticking));
	return {
		element: h("div", { class: "page limits stack" }, h("div", { class: "heading" }, h("h1", null, "Limits"), state), rules, refusals),
		title: "Limits",
		leave: () => leaving.abort(),
	};
}

/** @param {number} ms */
const seconds = (ms) => (ms < 60_000 ? `${(Math.ceil(ms / 100) / 10).toFixed(1)} s` : duration(ms * 1000));

/** @param {LimitState} own */
function cells(own) {
	const share = own.used / own.limit;
	const figure = (/** @type {number} */ value, /** @type {string} */ level) => h("span", { class: value ? `strong ${level}` : "muted" }, count(value));
	return [
		// Each part leads to its requests.
		own.key ? own.key.split(" ").map((part) => [h("a", { class: "mono", href: address(["traffic"], { [part.startsWith("REDACTED:") ? "token" : "operation"]: part }) }, recorded(token(part), { longest: 120 })), " "]) : muted("all requests"),
		h("div", { class: "usage" }, meter(share, share < 0.7 ? "good" : share < 0.95 ? "warn" : "bad"), `${count(own.used)}/${count(own.limit)} used`,
			// Which of several machines used it.
			own.nodes?.length ? muted(recorded(own.nodes.map((of) => `${count(of.used)} by ${of.node}`).join(", "), { longest: 300 })) : null),
		count(own.left),
		h("span", { dataset: { free: own.nextFreeMs, blocked: own.closedForMs ?? 0 } }),
		figure(own.refused, "warn"), figure(own.refusedByMews, "bad"), figure(own.delayed, "info"),
	];
}
