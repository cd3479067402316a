// One exchange, as a view of its own and as the pane beside the list.

import { fill, h, recorded, said } from "../dom.js";
import { contractView, remarksOf } from "../elements/contract.js";
import { copyMenu } from "../elements/copy.js";
import { icon } from "../elements/icon.js";
import { LINE } from "../elements/lines.js";
import { marks } from "../elements/marks.js";
import { messageView } from "../elements/message.js";
import { messageList, partList } from "../elements/messages.js";
import { overview, took } from "../elements/overview.js";
import { resendButton } from "../elements/resend.js";
import { tabs } from "../elements/tabs.js";
import { count, dateTime, duration, size, status, statusLevel } from "../format.js";
import { address } from "../router.js";

/** What next and previous mean. */
const BY = [["any", "any exchange"], ["operation", "same operation"], ["token", "same token"], ["error", "same error"]];

/** Milliseconds before a slow exchange is said to be loading. */
const PATIENCE = 200;

/** @param {string} first @param {Context} ctx @param {PaneOptions} options */
function pane(first, ctx, options) {
	const { api } = ctx;
	let id = "";
	/** @type {Exchange | null} */
	let exchange = null;
	/** @type {Contract | null} */
	let contract = null;
	let [fault, isImported] = ["", false];
	/** @type {import("../api.js").Row | null} */
	let row = null;
	/** @type {{ previous: string | null, next: string | null }} */
	let around = { previous: null, next: null };
	let loading = new AbortController();
	/** @type {Shown | null} */
	let shown = null;
	/** Of a message. */
	let part = "body";
	/** The tab to show, if the exchange has it. */
	let wantedTab = options.tab || ctx.settings.get("exchange.tab", "overview");

	const tab = tabs("Exchange", (name) => {
		wantedTab = name;
		ctx.settings.set("exchange.tab", name);
		options.onTab?.(name);
		showTab();
	});
	const head = h("header", { class: "exchange-head" });
	const by = h("select", { class: "field small", "aria-label": "Next and previous", onchange: () => void look() }, BY.map(([value, text]) => h("option", { value }, text)));
	/** @param {"previous" | "next"} way @param {string} look @param {string} title */
	const step = (way, look, title) => h("button", { class: "button small icon", title, "aria-label": title, disabled: true, onclick: () => go(way) }, icon(look));
	const steps = { previous: step("previous", "up", "Previous (K)"), next: step("next", "down", "Next (J)") };
	const mark = h("button", { class: "button small", title: "Mark, to compare (m)", onclick: () => toggleMark() });
	const compare = h("a", { class: "button small" }, "Compare");
	const again = resendButton(() => id, ctx);
	const whole = h("a", { class: "whole button small icon", title: "Open on its own (w)", "aria-label": "Open on its own", hidden: !options.onClose }, icon("link"));
	const close = options.onClose && h("button", { class: "shut button small icon", title: "Close (q)", "aria-label": "Close", onclick: options.onClose }, icon("close"));
	const tools = h("div", { class: "exchange-tools", hidden: true }, steps.previous, steps.next, by, mark, compare, copyMenu(() => id, ctx), again, whole, close);
	const element = h("section", { class: "exchange view", "aria-label": options.onClose ? null : "Exchange" }, h("div", { class: "exchange-top" }, head, tools), tab.element, tab.panel);

	const show = async (wanted = "") => {
		if (wanted === id) return;
		id = wanted;
		loading.abort();
		loading = new AbortController();
		const { signal } = loading;
		const slow = setTimeout(() => element.setAttribute("aria-busy", "true"), PATIENCE);
		const path = `/api/v1/exchanges/${encodeURIComponent(id)}`;
		try {
			const more = [api.get(`${path}/row`, { signal }), api.get(`${path}/contract`, { signal })];
			// Their failures are looked at below.
			for (const one of more) one.catch(() => {});
			exchange = /** @type {Exchange} */ (await api.get(path, { signal }));
			[contract, fault, row, isImported] = [null, "", null, false];
			// The end of an id, or `last`, has led here.
			id = exchange.id;
			tools.hidden = false;
			say();
			showTab();
			void look();
			const [known, found, session] = await Promise.allSettled([...more, api.get(`/api/v1/sessions/${exchange.session}`, { signal })]);
			if (signal.aborted) return;
			isImported = session.status === "fulfilled" && Boolean(session.value.imported);
			if (known.status === "fulfilled") row = known.value;
			if (found.status === "fulfilled") contract = found.value;
			else fault = found.reason.message;
			say();
			// What is shown already and depends on it.
			if (tab.selected === "contract" || tab.selected === "overview" || (tab.selected === "request" && contract?.findings.length)) showTab();
		} catch (error) {
			if (!signal.aborted) fail(said(error));
		} finally {
			clearTimeout(slow);
			if (!signal.aborted) element.removeAttribute("aria-busy");
		}
	};

	const fail = (why = "") => {
		exchange = null;
		tools.hidden = true;
		shown?.leave?.();
		shown = null;
		const again = () => {
			const wanted = id;
			id = "";
			void show(wanted);
		};
		fill(head, h("h1", null, "Exchange ", recorded(id, { longest: 80 })));
		fill(tab.panel, h("div", { class: "blank" }, h("h2", null, "This exchange can't be shown"), h("p", null, recorded(why)), h("button", { class: "button", onclick: again }, "Try again")));
	};

	/** Says what is known. */
	const say = () => {
		sayMark();
		if (!exchange) return;
		const { request, response, webSocket } = exchange;
		const code = response?.status ?? null;
		const events = row?.marks ?? (exchange.outcome === "answered" ? [] : [exchange.outcome]);
		whole.href = address(["exchange", id]);
		// A WebSocket is no request.
		again.hidden = Boolean(webSocket) || code === 101;
		fill(
			head,
			h("h1", null, h("span", { class: `tag ${statusLevel(code)}` }, status(code)), " ", recorded(exchange.operation, { longest: 200 })),
			h(
				"p",
				{ class: "exchange-facts muted" },
				recorded(request.method),
				h("span", null, dateTime(exchange.startedAt)),
				h("span", null, duration(took(exchange))),
				h("a", { href: address(["run", exchange.session]) }, recorded(exchange.sessionName, { longest: 60 }), ` ${count(exchange.sequence)}`),
				events.map((event) => recorded(event, { class: "bad strong" })),
				row?.origin && recorded(row.origin),
			),
		);
		const findings = contract?.findings.length ?? 0;
		/** @type {[string, string, string?, string?][]} */
		const messages = webSocket ? [["messages", "Messages", count(webSocket.messages.length)]] : code === 101 ? [["messages", "Messages"]] : [];
		tab.set([
			["overview", "Overview"],
			...messages,
			["request", "Request", size(request.bodyLength)],
			["response", "Response", response ? size(response.bodyLength) : ""],
			["contract", "Contract", findings > 0 ? count(findings) : "", "finding"],
		]);
		tab.select(wantedTab);
	};

	const showTab = () => {
		shown?.leave?.();
		shown = exchange && view(exchange);
		if (shown) fill(tab.panel, shown.element);
	};

	/** @param {Exchange} exchange @returns {Shown} */
	const view = (exchange) => {
		const { signal } = loading;
		const { webSocket } = exchange;
		switch (tab.selected) {
			case "request":
				return messageView("request", exchange, ctx, { signal, part, onPart: (name) => (part = name), remarks: remarksOf(contract) });
			case "response":
				return messageView("response", exchange, ctx, { signal, part, onPart: (name) => (part = name) });
			case "contract":
				return contract ? contractView(contract, exchange, ctx, signal) : { element: h("p", { class: "blank" }, fault || "Checking…") };
			case "messages":
				return webSocket ? messageList({ ...exchange, webSocket }, ctx) : { element: partList(exchange, ctx, signal) };
			default:
				return { element: overview(exchange, ctx, row?.origin ?? null, isImported) };
		}
	};

	/** Looks for the exchanges before and after. */
	const look = async () => {
		const { signal } = loading;
		const query = new URLSearchParams(by.value === "any" ? options.query : "");
		query.set("by", by.value);
		const beside = by.value === "any" ? options.beside?.(id) : null;
		around = beside ?? (await api.get(`/api/v1/exchanges/${id}/neighbours?${query}`, { signal }).catch(() => ({ previous: null, next: null })));
		if (signal.aborted) return;
		for (const way of /** @type {const} */ (["previous", "next"])) steps[way].disabled = around[way] === null;
	};

	/** @param {"previous" | "next"} way */
	const go = (way) => {
		const other = around[way];
		// The newest may have one by now.
		if (other === null) void look();
		else (options.onOpen ?? show)(other);
	};

	const toggleMark = () => void (exchange && marks.toggle(id));
	const sayMark = () => {
		const isMarked = marks.has(id);
		mark.setAttribute("aria-pressed", `${isMarked}`);
		fill(mark, icon("mark"), isMarked ? "Marked" : "Mark");
		// With the one that was marked last before.
		const other = marks.all.findLast((other) => other !== id);
		compare.hidden = !other;
		compare.href = address(["compare", other ?? "", id]);
		compare.title = `Compare with the marked exchange ${other}`;
	};

	/** @param {number} lines */
	const scroll = (lines) => {
		if (shown?.acts?.move) shown.acts.move(lines);
		else tab.panel.querySelector(".scrolls")?.scrollBy(0, Math.max(-1e7, Math.min(1e7, lines * LINE)));
	};
	const page = () => (shown?.acts?.lines?.fits ?? tab.panel.clientHeight / LINE) - 2;
	/** Beside the list the keys are the list's, unless the focus is here. @param {string} keys @param {string} help @param {() => unknown} run */
	const key = (keys, help, run) => ({
		keys: keys.split(" ").map((key) => key.replace("Space", " ")),
		help,
		run: () => {
			if (options.onClose && !element.contains(document.activeElement)) return false;
			return run() !== false;
		},
	});
	/** @param {(acts: Acts) => unknown} run */
	const act = (run) => () => (shown?.acts ? run(shown.acts) : false);
	const bindings = [
		key("j ArrowDown", "down", () => scroll(1)),
		key("k ArrowUp", "up", () => scroll(-1)),
		key("Space PageDown", "page down", () => scroll(page())),
		key("b PageUp", "page up", () => scroll(-page())),
		key("g Home", "first", () => scroll(-Infinity)),
		key("G End", "last", () => scroll(Infinity)),
		key("Enter", "fold or unfold", act((acts) => acts.toggle?.())),
		key("z", "fold or unfold all", act((acts) => acts.foldAll?.())),
		key("h ArrowLeft", "fold, or scroll left", act((acts) => (acts.aside ? acts.aside(false) : acts.lines?.scrollBy(0, -64)))),
		key("l ArrowRight", "unfold, or scroll right", act((acts) => (acts.aside ? acts.aside(true) : acts.lines?.scrollBy(0, 64)))),
		key("/", "search; a JSON pointer leads to its place", act((acts) => (acts.focusSearch ? acts.focusSearch() : false))),
		key("n", "next match", act((acts) => (acts.step ? acts.step(true) : false))),
		key("N", "previous match", act((acts) => (acts.step ? acts.step(false) : false))),
		key("c", "copy the value", act((acts) => acts.copyValue?.())),
		key("p", "copy the JSON pointer", act((acts) => acts.copyPointer?.())),
		key("[", "previous tab", () => tab.move(-1)),
		key("]", "next tab", () => tab.move(1)),
		key("m", "mark or unmark", toggleMark),
	];
	// Beside the list these are the list's own.
	if (!options.onClose) bindings.push(key("J", "next exchange", () => go("next")), key("K", "previous exchange", () => go("previous")), key("q Escape", "back to the list", () => ctx.go("#/traffic")));
	const leaving = [ctx.keys.layer("In an exchange", bindings), marks.subscribe(sayMark)];

	void show(first);
	return {
		element,
		/** @param {string} other @param {string | null} [name] a tab */
		update(other, name) {
			wantedTab = name || wantedTab;
			if (other !== id) void show(other);
			else if (tab.selected !== wantedTab) {
				tab.select(wantedTab);
				showTab();
			}
		},
		leave() {
			loading.abort();
			shown?.leave?.();
			for (const leave of leaving) leave();
		},
	};
}

/** The pane beside the list. @param {string} id @param {Context} ctx @param {PaneOptions} [options] */
export function exchangePane(id, ctx, options = {}) {
	return pane(id, ctx, options);
}

/** @param {import("../router.js").Route} route @param {Context} ctx @returns {import("../router.js").View} */
export function view(route, ctx) {
	let id = route.path[1] ?? "last";
	const { element, update, leave } = pane(id, ctx, {
		tab: route.query.get("tab"),
		onOpen: (other) => ctx.go(address(["exchange", other])),
		onTab: (tab) => ctx.go(address(["exchange", id], { tab }), { replace: true }),
	});
	return {
		element,
		title: "Exchange",
		update: (route) => {
			id = route.path[1] ?? "last";
			update(id, route.query.get("tab"));
		},
		leave,
	};
}
