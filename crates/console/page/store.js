// The rows that match a filter: those seen are fetched by position, the newest come live. However many match, only a few
// thousand are held.

import { ApiError, pause } from "./api.js";

/** @typedef {import("./api.js").Row} Row */

/** Rows fetched at once. */
const PAGE = 100;
/** Pages held: the least recently seen are dropped. */
const PAGES = 60;
/** Live rows held, by their positions at the end. */
const TAIL = 1000;
/** Rows held of a search in bodies, which has no positions. */
const FOUND = 20_000;
/** Milliseconds that a range must have been seen before it is fetched, so that a dragged scroll bar fetches only where it stops. */
const SETTLE = 30;

/**
 * @typedef {{
 *   changed: () => void, live: (rows: Row[]) => void, reloaded: () => void, prepended: (rows: number) => void,
 *   state: (state: import("./api.js").FollowState, why: string) => void, failed: (error: Error) => void
 * }} Listener
 */

export class Store {
	#api;
	#listener;
	#query = new URLSearchParams();
	#stop = new AbortController();
	/** @type {Map<number, {rows: Row[]}>} */
	#pages = new Map();
	/** @type {Map<number, AbortController>} */
	#fetching = new Map();
	/** @type {Row[]} */
	#tail = [];
	#tailAt = 0;
	#log = "";
	#wanted = { first: 0, last: 0 };
	#timer = 0;
	#wasLive = false;
	/** What pages the search in bodies next; `null` at its end, `undefined` if positions are known. @type {string | null | undefined} */
	#older;
	#readsOlder = false;

	/** How many rows match; `null` until that is known. @type {number | null} */
	total = null;

	/** @param {import("./api.js").Api} api @param {Listener} listener */
	constructor(api, listener) {
		this.#api = api;
		this.#listener = listener;
	}

	/** Whether `total` is only what has been found so far. */
	get isPartial() {
		return typeof this.#older === "string";
	}

	/** Whether bodies are searched, so that rows have no positions. */
	get isSearch() {
		return this.#older !== undefined;
	}

	/** Whether older matches are being looked for. */
	get isReading() {
		return this.#readsOlder;
	}

	/** The filter of the rows. */
	get query() {
		return this.#query;
	}

	/** Shows other rows: those that match `query`. @param {URLSearchParams} query */
	open(query) {
		this.#query = new URLSearchParams(query);
		this.total = null;
		this.reload();
	}

	/** Ends everything under way. */
	close() {
		this.#stop.abort();
		for (const fetching of this.#fetching.values()) fetching.abort();
		this.#fetching.clear();
		clearTimeout(this.#timer);
	}

	/** Reads everything anew. */
	reload() {
		this.close();
		this.#stop = new AbortController();
		this.#wasLive = false;
		void this.#start(this.#stop.signal);
	}

	/** @param {AbortSignal} signal */
	async #start(signal) {
		let wait = 500;
		this.#listener.state("opening", "");
		for (;;) {
			try {
				const last = await this.#newest(signal);
				// A browser opens six connections to the console, for all its tabs: those that nobody sees hold none.
				if (signal.aborted || (document.hidden && !this.isSearch)) return;
				await this.#follow(signal, last);
				return;
			} catch (error) {
				if (signal.aborted) return;
				const lasting = error instanceof ApiError && error.status >= 400 && error.status < 500;
				if (lasting) {
					this.#listener.failed(error);
					return;
				}
				this.#listener.state("waiting", error instanceof Error ? error.message : String(error));
				await pause(wait, signal);
				if (signal.aborted) return;
				wait = Math.min(wait * 2, 5000);
			}
		}
	}

	/** Reads the newest rows; returns the id of the last, "" without one. @param {AbortSignal} signal */
	async #newest(signal) {
		const query = new URLSearchParams(this.#query);
		const searches = query.has("contains") || query.has("contains!");
		query.set("limit", String(PAGE));
		if (searches) query.set("order", "newest");
		else query.set("from", String(-PAGE));
		const found = await this.#api.get(`/api/v1/rows?${query}`, { signal });
		this.#pages.clear();
		if (found.total === null || found.total === undefined) {
			this.#tail = found.rows.toReversed();
			this.#tailAt = 0;
			this.#older = found.next ?? null;
			this.total = this.#tail.length;
		} else {
			this.#tail = found.rows;
			this.#tailAt = found.from;
			this.#older = undefined;
			this.total = found.total;
		}
		this.#log = found.log;
		this.#listener.reloaded();
		return this.#tail.findLast(({ id }) => id)?.id ?? "";
	}

	/** @param {AbortSignal} signal @param {string} after */
	async #follow(signal, after) {
		await this.#api.follow(this.#query, {
			signal,
			after: after || undefined,
			// What was recorded since it was found that nothing matches.
			last: after ? undefined : 10_000,
			onRows: (rows) => this.#add(rows),
			onMissed: () => this.reload(),
			onState: (state, why) => {
				this.#listener.state(state, why);
				if (state === "live" && this.#wasLive) void this.#compare(signal);
				if (state === "live") this.#wasLive = true;
			},
		});
	}

	/** After an interruption: whether positions are still those of before. @param {AbortSignal} signal */
	async #compare(signal) {
		if (this.isSearch) return;
		try {
			const query = new URLSearchParams(this.#query);
			query.set("limit", "1");
			query.set("from", "0");
			const found = await this.#api.get(`/api/v1/rows?${query}`, { signal });
			if (!signal.aborted && found.log !== this.#log) this.reload();
		} catch {
			// The next interruption, or the next fetch, compares again.
		}
	}

	/** @param {Row[]} rows */
	#add(rows) {
		if (this.total === null) return;
		this.total += rows.length;
		this.#tail.push(...rows);
		const most = this.isSearch ? FOUND : TAIL;
		// Not at each row: moving the rest costs.
		if (this.#tail.length > most * 1.2) {
			const dropped = this.#tail.length - most;
			this.#tail.splice(0, dropped);
			if (this.isSearch) {
				this.total -= dropped;
				this.#older = null;
				this.#listener.prepended(-dropped);
			} else {
				this.#tailAt += dropped;
			}
		}
		this.#listener.live(rows);
	}

	/** The row at a position; `undefined` if it isn't here yet. @param {number} position @returns {Row | undefined} */
	row(position) {
		const inTail = position - this.#tailAt;
		if (inTail >= 0) return this.#tail[inTail];
		const number = Math.floor(position / PAGE);
		return this.#pages.get(number)?.rows[position - number * PAGE];
	}

	/** Where a row that is held is. @param {string} id */
	held(id) {
		const inTail = this.#tail.findLastIndex((row) => row.id === id);
		if (inTail >= 0) return this.#tailAt + inTail;
		for (const [number, page] of this.#pages) {
			const inPage = page.rows.findIndex((row) => row.id === id);
			if (inPage >= 0) return number * PAGE + inPage;
		}
		return -1;
	}

	/** The ids of the rows beside one that is held. @param {string} id */
	beside(id) {
		const at = this.held(id);
		const other = (/** @type {number} */ by) => (at < 0 ? null : (this.row(at + by)?.id ?? null));
		return { previous: other(-1), next: other(1) };
	}

	/** Fetches what is missing of the rows from `first` to before `last`. @param {number} first @param {number} last */
	want(first, last) {
		if (this.isSearch) {
			if (first < PAGE / 2) void this.#readOlder();
			return;
		}
		this.#wanted = { first, last };
		if (this.#missing().length === 0) return;
		clearTimeout(this.#timer);
		this.#timer = window.setTimeout(() => this.#fetch(), SETTLE);
	}

	/** The pages with rows that are wanted and not here. */
	#missing() {
		const { first, last } = this.#wanted;
		const pages = [];
		const end = Math.min(last, this.#tailAt);
		for (let number = Math.floor(first / PAGE); number * PAGE < end; number++) {
			const page = this.#pages.get(number);
			if (page) {
				// Seen again: the last to be dropped.
				this.#pages.delete(number);
				this.#pages.set(number, page);
			}
			const full = Math.min(PAGE, this.#tailAt - number * PAGE);
			if (!page || page.rows.length < full) pages.push(number);
		}
		return pages;
	}

	#fetch() {
		const missing = this.#missing();
		for (const [number, fetching] of this.#fetching) {
			if (!missing.includes(number)) {
				fetching.abort();
				this.#fetching.delete(number);
			}
		}
		for (const number of missing) {
			if (!this.#fetching.has(number)) void this.#page(number);
		}
	}

	/** @param {number} number */
	async #page(number) {
		const stop = new AbortController();
		this.#fetching.set(number, stop);
		const query = new URLSearchParams(this.#query);
		query.set("from", String(number * PAGE));
		query.set("limit", String(PAGE));
		try {
			const found = await this.#api.get(`/api/v1/rows?${query}`, { signal: stop.signal });
			if (stop.signal.aborted) return;
			if (found.log !== this.#log) {
				this.reload();
				return;
			}
			this.#pages.set(number, { rows: found.rows });
			const oldest = this.#pages.keys().next().value;
			if (this.#pages.size > PAGES && oldest !== undefined) this.#pages.delete(oldest);
			this.#listener.changed();
		} catch (error) {
			if (stop.signal.aborted) return;
			// Without the console: asked for again when the rows are drawn again, at the latest when it is back.
			if (error instanceof ApiError && error.status > 0 && error.status < 500) this.#listener.failed(error);
			else setTimeout(() => this.#listener.changed(), 1000);
		} finally {
			if (this.#fetching.get(number) === stop) this.#fetching.delete(number);
		}
	}

	/** Searches on, for older matches. */
	async #readOlder() {
		if (this.#readsOlder || typeof this.#older !== "string" || this.total === null || this.#tail.length >= FOUND) return;
		this.#readsOlder = true;
		const { signal } = this.#stop;
		const query = new URLSearchParams(this.#query);
		query.set("limit", String(PAGE));
		query.set("order", "newest");
		query.set("after", this.#older);
		try {
			const found = await this.#api.get(`/api/v1/rows?${query}`, { signal });
			if (signal.aborted) return;
			this.#older = found.next ?? null;
			this.#tail.unshift(...found.rows.toReversed());
			this.total += found.rows.length;
			this.#listener.prepended(found.rows.length);
		} catch (error) {
			if (!signal.aborted && error instanceof Error) this.#listener.failed(error);
			this.#older = null;
		} finally {
			this.#readsOlder = false;
		}
		if (!signal.aborted) this.#listener.changed();
	}
}
