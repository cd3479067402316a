// The live list of exchanges, with the one that is open beside it.

import { ApiError } from "../api.js";
import { append, fill, h, prose, said } from "../dom.js";
import { chart } from "../elements/chart.js";
import { dialog } from "../elements/dialog.js";
import { filterLine } from "../elements/filter-line.js";
import { icon } from "../elements/icon.js";
import { marks } from "../elements/marks.js";
import { listHead, makeRow, paintRow } from "../elements/row.js";
import { search } from "../elements/search.js";
import { splitter } from "../elements/splitter.js";
import { VirtualList } from "../elements/virtual-list.js";
import { resolve } from "../filter.js";
import { count, counted } from "../format.js";
import { address } from "../router.js";
import { Store } from "../store.js";
import { empty } from "./empty.js";

/** @typedef {import("../app.js").Context} Context */
/** @typedef {import("../router.js").Route} Route */

/** Milliseconds between two updates while exchanges come in: more often, nobody could read. */
const TICK = 100;
/** Milliseconds between two histograms while exchanges come in. */
const REDRAW = { few: 1000, many: 3000 };
/** The list's width below which a row takes two lines. */
const NARROW = 560;

/** @param {Route} route @param {Context} ctx @returns {import("../router.js").View} */
export function view(route, ctx) {
	return new Traffic(route, ctx);
}

class Traffic {
	title = "Traffic";
	#ctx;
	#store;
	#list;
	#chart;
	#filter;
	#search;
	/** The address's query, without `open`: the filter as it was chosen. */
	#chosen = new URLSearchParams();
	/** The filter with its times resolved. */
	#query = new URLSearchParams();
	#open = "";
	/** Where the open exchange is, -1 if that isn't known. */
	#openAt = -1;
	#cursor = -1;
	/** Exchanges recorded since the list stopped following. */
	#fresh = 0;
	/** @type {import("../api.js").Row[]} */
	#incoming = [];
	#tick = 0;
	#histogramAt = 0;
	#histogramTimer = 0;
	#reading = new AbortController();
	/** @type {{element: HTMLElement, leave?: () => void, update?: (id: string) => void} | null} */
	#pane = null;
	#paneTurn = 0;
	#paneOptions = {
		query: new URLSearchParams(),
		onOpen: (/** @type {string} */ id) => {
			this.#openAt = -1;
			this.#goTo(id);
		},
		onClose: () => this.#goTo(""),
		// What a search in bodies has found is only here.
		beside: (/** @type {string} */ id) => (this.#store.isSearch ? this.#store.beside(id) : null),
	};
	/** @type {(() => void)[]} */
	#leaving = [];
	#state = "opening";
	/** Whether the rows on their way are those of another filter. */
	#isNew = true;

	#counts = h("span", { class: "counts", role: "status" });
	#followButton = h("button", { class: "button small", "aria-pressed": "true", title: "Follow new exchanges (F)", onclick: () => this.#follow(!this.#list.follows) }, icon("follow"), h("span", { class: "words" }, "Follow"));
	#newer = h("button", { class: "newer button", hidden: true, onclick: () => this.#follow(true) });
	#marked = h("span", { class: "marked", hidden: true });
	#blank = h("div", { class: "list-blank", hidden: true });
	#side = h("section", { class: "side", "aria-label": "Exchange", hidden: true });
	#listBox = h("div", { class: "list" });
	element;

	/** @param {Route} route @param {Context} ctx */
	constructor(route, ctx) {
		this.#ctx = ctx;
		this.#filter = filterLine({ api: ctx.api, chosen: (pairs) => this.#choose(new URLSearchParams(pairs)) });
		this.#chart = chart({ chosen: (since, until) => this.#span(since, until) });
		this.#search = search({ api: ctx.api, query: () => this.#query, found: (id) => void this.#reveal(id, true) });
		this.#list = new VirtualList({
			label: "Exchanges",
			rowHeight: () => {
				const narrow = this.#listBox.clientWidth > 0 && this.#listBox.clientWidth < NARROW;
				this.#listBox.classList.toggle("narrow", narrow);
				return narrow ? 48 : 26;
			},
			make: makeRow,
			paint: (element, position) => {
				const row = this.#store.row(position);
				paintRow(element, position, row, { cursor: position === this.#cursor, open: row !== undefined && row.id === this.#open, marked: row !== undefined && marks.has(row.id) });
			},
			range: (first, last) => {
				this.#store.want(first, last);
				if (this.#cursor >= first && this.#cursor < last) this.#list.element.setAttribute("aria-activedescendant", `row-${this.#cursor}`);
				else this.#list.element.removeAttribute("aria-activedescendant");
			},
			follows: (follows) => this.#follows(follows),
			open: (position) => this.#openRow(position),
		});
		this.#store = new Store(ctx.api, {
			changed: () => this.#list.refresh(),
			live: (rows) => this.#live(rows),
			reloaded: () => this.#reloaded(),
			prepended: (rows) => {
				if (this.#cursor >= 0) this.#cursor += rows;
				if (this.#openAt >= 0) this.#openAt += rows;
				this.#list.shift(rows);
				this.#tell();
			},
			state: (state, why) => this.#stateIs(state, why),
			failed: (error) => this.#failed(error),
		});
		const tools = h("div", { class: "traffic-tools" },
			this.#filter.element,
			h("div", { class: "traffic-buttons" }, this.#counts, this.#marked,
				h("button", { class: "button small icon", "aria-label": "Search", title: "Search (/)", onclick: () => this.#search.open() }, icon("search")),
				h("button", { class: "button small icon", "aria-label": "Export", title: "Export (x)", onclick: () => void this.#export() }, icon("download")),
				this.#followButton));
		append(this.#listBox, [listHead(), this.#list.element, this.#blank, this.#newer]);
		const split = splitter(ctx.settings, this.#side);
		this.element = h("div", { class: "traffic view" }, h("h1", { class: "hush" }, "Traffic"), tools, this.#search.element, this.#chart.element,
			h("div", { class: "split" }, this.#listBox, split, this.#side));
		const seen = () => {
			if (this.#store.isSearch) return;
			if (document.hidden) this.#store.close();
			else this.#store.reload();
		};
		document.addEventListener("visibilitychange", seen);
		this.#leaving.push(ctx.keys.layer("Traffic", this.#keys()), marks.subscribe(() => this.#markedChanged()), () => document.removeEventListener("visibilitychange", seen));
		this.#markedChanged();
		this.update(route);
	}

	/** @param {Route} route */
	update(route) {
		const chosen = new URLSearchParams(route.query);
		const open = chosen.get("open") ?? "";
		chosen.delete("open");
		if (chosen.toString() !== this.#chosen.toString() || this.#store.total === null) {
			this.#chosen = chosen;
			this.#filter.set([...chosen]);
			this.#query = resolve(chosen, Date.now());
			this.#paneOptions.query = this.#query;
			this.#cursor = -1;
			this.#openAt = -1;
			this.#search.close();
			this.#list.setFollows(!open);
			this.#isNew = true;
			this.#store.open(this.#query);
		}
		if (open !== this.#open) void this.#show(open);
	}

	leave() {
		this.#store.close();
		this.#reading.abort();
		clearTimeout(this.#tick);
		clearTimeout(this.#histogramTimer);
		this.#list.draw.cancel();
		this.#pane?.leave?.();
		this.#leaving.forEach((leave) => leave());
	}

	// The filter.

	/** @param {URLSearchParams} chosen */
	#choose(chosen) {
		const query = new URLSearchParams(chosen);
		if (this.#open) query.set("open", this.#open);
		this.#ctx.go(address(["traffic"], query));
	}

	/** @param {Date} since @param {Date} until */
	#span(since, until) {
		const query = new URLSearchParams(this.#chosen);
		query.set("since", since.toISOString());
		query.set("until", until.toISOString());
		this.#choose(query);
	}

	// What the store says.

	#reloaded() {
		this.#fresh = this.#isNew || this.#list.follows ? 0 : this.#fresh + Math.max(0, (this.#store.total ?? 0) - this.#list.count);
		this.#isNew = false;
		this.#incoming = [];
		if ((this.#store.total ?? 0) < this.#list.count) this.#cursor = -1;
		this.#filter.say("");
		this.#list.setCount(this.#store.total ?? 0);
		this.#list.refresh();
		this.#tell();
		void this.#histogram();
		if (this.#open) void this.#reveal(this.#open, false);
	}

	/** @param {import("../api.js").Row[]} rows */
	#live(rows) {
		if (!this.#list.follows) this.#fresh += rows.length;
		this.#incoming.push(...rows);
		this.#tick ||= window.setTimeout(() => this.#ticked(), TICK);
	}

	#ticked() {
		this.#tick = 0;
		let within = true;
		for (const row of this.#incoming) {
			const refused = row.outcome === "refused";
			within = this.#chart.add(Date.parse(row.startedAt), !refused && (row.status === null || row.status >= 400), refused) && within;
		}
		this.#incoming = [];
		if (!within) this.#histogramSoon();
		this.#list.setCount(this.#store.total ?? 0);
		// Without a change of position, at the end of a search, say, the last rows are new all the same.
		if (this.#list.follows) this.#list.refresh();
		this.#tell();
	}

	/** @param {string} state @param {string} why */
	#stateIs(state, why) {
		const before = this.#state;
		this.#state = state;
		if (state === "failed") {
			this.#failed(new Error(why));
			return;
		}
		if (before === "waiting" && state === "live") {
			this.#list.refresh();
			this.#histogramSoon();
		}
		this.#tell();
	}

	/** @param {Error} error */
	#failed(error) {
		this.#state = "failed";
		this.#chart.element.hidden = true;
		this.#list.setCount(0);
		if (error instanceof ApiError && error.status === 401) return;
		this.#filter.say(error.message);
		this.#tell();
	}

	/** Says how many there are, and what to see where there is nothing. */
	#tell() {
		const { total } = this.#store;
		const filtered = this.#chosen.size > 0;
		const noun = filtered ? (total === 1 ? "match" : "matches") : total === 1 ? "exchange" : "exchanges";
		const text = total === null ? "…" : `${count(total)}${this.#store.isPartial ? "+" : ""} ${noun}`;
		if (this.#counts.textContent !== text) this.#counts.textContent = text;
		const stopped = !this.#list.follows && this.#fresh > 0;
		this.#newer.hidden = !stopped;
		if (stopped) fill(this.#newer, icon("down"), `${count(this.#fresh)} new`);
		this.#tellBlank(total, filtered);
	}

	#blankIs = "";
	/** @param {number | null} total @param {boolean} filtered */
	#tellBlank(total, filtered) {
		// Until the new rows are here, the old ones stay, dimmed.
		this.element.classList.toggle("is-reading", total === null && this.#list.count > 0);
		const is = total === null ? (this.#list.count > 0 ? "" : this.#state === "failed" ? "failed" : "opening") : total > 0 ? "" : filtered ? (this.#store.isPartial ? "searching" : "none") : "empty";
		if (is === this.#blankIs) return;
		this.#blankIs = is;
		this.element.classList.toggle("is-empty", is === "empty");
		this.#blank.hidden = is === "";
		if (is === "empty") fill(this.#blank, empty(this.#ctx));
		else if (is === "none") {
			fill(this.#blank, h("div", { class: "blank" }, h("h2", null, "No exchange matches the filter"), h("p", null, "New ones that match appear here."),
				h("button", { class: "button", onclick: () => this.#choose(new URLSearchParams()) }, "Show all")));
		} else fill(this.#blank, h("div", { class: "blank" }, is === "opening" ? "Reading the log…" : is === "searching" ? "Searching the bodies…" : ""));
	}

	// Following.

	/** @param {boolean} follows */
	#follow(follows) {
		if (follows) this.#cursor = -1;
		this.#list.setFollows(follows);
		this.#list.refresh();
	}

	/** @param {boolean} follows */
	#follows(follows) {
		this.#followButton.setAttribute("aria-pressed", String(follows));
		this.#fresh = 0;
		this.#tell();
	}

	// The chart.

	#histogramSoon() {
		if (this.#histogramTimer) return;
		const wait = Math.max(300, this.#histogramAt + ((this.#store.total ?? 0) < 10_000 ? REDRAW.few : REDRAW.many) - Date.now());
		this.#histogramTimer = window.setTimeout(() => void this.#histogram(), wait);
	}

	async #histogram() {
		clearTimeout(this.#histogramTimer);
		this.#histogramTimer = 0;
		this.#histogramAt = Date.now();
		const searches = this.#store.isSearch;
		this.#chart.element.hidden = searches || !this.#store.total;
		if (this.#chart.element.hidden) return;
		this.#reading.abort();
		this.#reading = new AbortController();
		const { signal } = this.#reading;
		try {
			const query = new URLSearchParams(this.#query);
			query.set("buckets", "120");
			const found = await this.#ctx.api.get(`/api/v1/histogram?${query}`, { signal });
			if (!signal.aborted) this.#chart.set(found);
		} catch (error) {
			// The list says what is wrong; the chart stays as it was.
			if (!signal.aborted && !(error instanceof ApiError)) throw error;
		}
	}

	// The open exchange.

	/** @param {number} position */
	#openRow(position) {
		const row = this.#store.row(position);
		this.#cursor = position;
		this.#list.refresh();
		if (!row?.id) return;
		if (this.#list.follows) this.#list.setFollows(false);
		this.#openAt = position;
		this.#goTo(row.id);
	}

	/** @param {string} id */
	#goTo(id) {
		const query = new URLSearchParams(this.#chosen);
		if (id) query.set("open", id);
		// One entry in the history for all that are opened one after the other.
		this.#ctx.go(address(["traffic"], query), { replace: this.#open !== "" && id !== "" });
	}

	/** @param {string} id */
	async #show(id) {
		this.#open = id;
		this.element.classList.toggle("is-open", id !== "");
		this.#side.hidden = id === "";
		this.#list.refresh();
		if (!id) {
			this.#pane?.leave?.();
			this.#pane = null;
			this.#openAt = -1;
			fill(this.#side);
			if (document.activeElement === document.body) this.#list.element.focus();
			return;
		}
		if (this.#store.total !== null && this.#store.row(this.#openAt)?.id !== id) void this.#reveal(id, false);
		if (this.#pane?.update) {
			this.#pane.update(id);
			return;
		}
		this.#pane?.leave?.();
		this.#pane = null;
		const mine = ++this.#paneTurn;
		try {
			const { exchangePane } = await import("./exchange.js");
			if (mine !== this.#paneTurn || this.#open !== id) return;
			const pane = exchangePane(id, this.#ctx, this.#paneOptions);
			this.#pane = pane;
			fill(this.#side, pane.element);
		} catch (error) {
			console.error(error);
			fill(this.#side, h("div", { class: "blank" }, h("p", null, "This exchange can't be shown."), h("button", { class: "button", onclick: () => this.#goTo("") }, "Close")));
		}
	}

	/** Scrolls to an exchange, wherever in the list it is. @param {string} id @param {boolean} select */
	async #reveal(id, select) {
		let position = this.#store.held(id);
		if (position < 0 && !this.#store.isSearch) {
			try {
				position = (await this.#ctx.api.get(`/api/v1/exchanges/${encodeURIComponent(id)}/position?${this.#query}`)).position;
			} catch (error) {
				if (!(error instanceof ApiError)) throw error;
				if (select) this.#ctx.notify("warn", error.message);
				return;
			}
		}
		if (position < 0) return;
		if (select) this.#cursor = position;
		if (id === this.#open) this.#openAt = position;
		this.#list.setFollows(false);
		this.#list.show(position, true);
		this.#list.refresh();
	}

	// Keys.

	/** @returns {import("../keys.js").Binding[]} */
	#keys() {
		const page = () => Math.max(1, this.#list.fits - 1);
		return [
			{ keys: ["j", "ArrowDown"], help: "down", run: () => this.#move(1) },
			{ keys: ["k", "ArrowUp"], help: "up", run: () => this.#move(-1) },
			{ keys: [" ", "PageDown"], help: "page down", run: () => this.#move(page()) },
			{ keys: ["b", "PageUp"], help: "page up", run: () => this.#move(-page()) },
			{ keys: ["g", "Home"], help: "first", run: () => this.#move(-Infinity) },
			{ keys: ["G", "End"], help: "last, and follow", run: () => this.#follow(true) },
			{ keys: ["Enter"], help: "open an exchange", run: () => this.#openCursor() },
			{ keys: ["J"], help: "open the next exchange", run: () => this.#step(1) },
			{ keys: ["K"], help: "open the previous exchange", run: () => this.#step(-1) },
			{ keys: ["w"], help: "show the open exchange on its own", run: () => { if (this.#open) this.#ctx.go(address(["exchange", this.#open])); } },
			{ keys: ["F"], help: "follow new exchanges, or stop following", run: () => this.#follow(!this.#list.follows) },
			{ keys: ["f"], help: "filter; empty shows all", run: () => this.#filter.focus() },
			{ keys: ["/"], help: "search", run: () => this.#search.open() },
			{ keys: ["n"], help: "next match, older", run: () => void this.#search.step(1) },
			{ keys: ["N"], help: "previous match, newer", run: () => void this.#search.step(-1) },
			{ keys: ["m"], help: "mark or unmark", run: () => this.#mark() },
			{ keys: ["M"], help: "unmark all", run: () => marks.clear() },
			{ keys: ["x"], help: "export", run: () => void this.#export() },
			{ keys: ["q", "Escape"], help: "back", run: () => this.#back() },
		];
	}

	/** @param {number} by */
	#move(by) {
		const { count: rows } = this.#list;
		if (!rows) return;
		const { first, last } = this.#list.seen;
		const from = this.#cursor >= 0 ? this.#cursor : this.#openAt >= 0 ? this.#openAt : this.#list.follows ? rows - (by < 0 ? 0 : 1) : by > 0 ? first - 1 : last + 1;
		this.#cursor = Math.min(Math.max(0, from + by), rows - 1);
		if (by < 0) this.#list.setFollows(false);
		this.#list.show(this.#cursor);
		this.#list.refresh();
	}

	#openCursor() {
		const position = this.#cursor >= 0 ? this.#cursor : this.#list.count - 1;
		if (position >= 0) this.#openRow(position);
	}

	/** @param {number} by */
	#step(by) {
		const from = this.#openAt >= 0 ? this.#openAt : this.#cursor;
		const position = from < 0 ? this.#list.count - 1 : from + by;
		if (position < 0 || position >= this.#list.count) return;
		this.#list.show(position);
		this.#openRow(position);
	}

	#back() {
		if (this.#search.isOpen) this.#search.close();
		else if (this.#open) this.#goTo("");
		else if (this.#cursor >= 0) {
			this.#cursor = -1;
			this.#list.refresh();
		} else return false;
		return true;
	}

	// Marks, and export.

	#mark() {
		const row = this.#store.row(this.#cursor >= 0 ? this.#cursor : this.#openAt >= 0 ? this.#openAt : this.#list.count - 1);
		if (!row?.id) return;
		marks.toggle(row.id);
		if (this.#cursor >= 0 && !this.#open) this.#move(1);
	}

	#markedChanged() {
		const ids = marks.all;
		this.#marked.hidden = ids.length === 0;
		const compares = ids.length === 2 && h("a", { class: "button small", href: address(["compare", ...ids]) }, "Compare");
		const none = h("button", { class: "button small quiet", title: "Unmark all (M)", onclick: () => marks.clear() }, "Unmark");
		fill(this.#marked, h("span", { class: "muted" }, `${count(ids.length)} marked`), compares, none);
		this.#list.refresh();
	}

	async #export() {
		const total = this.#store.total ?? 0;
		if (!total) {
			this.#ctx.notify("warn", "There is nothing to export.");
			return;
		}
		const formats = [["har", "HAR", "for browsers and HTTP tools"], ["ndjson", "NDJSON", "everything, one exchange per line; `log import` reads it"], ["csv", "CSV", "for spreadsheets, without headers and bodies"], ["curl", "cURL", "a shell script that repeats the requests"]];
		const what = this.#store.isPartial ? "all matches" : counted(total, this.#chosen.size ? "match" : "exchange", this.#chosen.size ? "matches" : "exchanges");
		const format = await dialog("Export", (element) => ({
			content: [
				h("p", null, `The file has ${what}, oldest first.`),
				h("div", { class: "choices" }, formats.map(([value, name, note]) => h("button", { class: "choice", onclick: () => element.close(value) }, h("span", { class: "strong" }, name), h("span", { class: "muted" }, prose(note))))),
			],
			footer: h("button", { class: "button", onclick: () => element.close("") }, "Cancel"),
		}));
		if (!format) return;
		const query = new URLSearchParams(this.#query);
		query.set("format", format);
		try {
			this.#ctx.notify("info", "The export is being written…");
			await this.#ctx.api.download(`/api/v1/export?${query}`);
		} catch (error) {
			this.#ctx.notify("bad", said(error));
		}
	}
}
