// The console's API: requests with the token, and the stream of live rows, which resumes where it was interrupted.

/**
 * Of a row that can't be read, there are only `session`, `sequence` and `unreadable`.
 * @typedef {{
 *   id: string, session: string, sessionName: string, sequence: number, startedAt: string, method: string, path: string,
 *   operation: string, environment: string, status: number | null, outcome: string, direction?: string, durationUs: number, waitedMs: number,
 *   requestBytes: number, responseBytes: number, limit: null | {left: number, limit: number, rule: string},
 *   client: string | null, token: string | null, marks: string[], origin: string | null, findings: number,
 *   firstFinding: string | null, webSocket: null | {messages: number}, unreadable?: string
 * }} Row
 */
/** @typedef {"opening" | "live" | "waiting" | "failed"} FollowState */
/**
 * @typedef {{
 *   onRow?: (row: Row) => void, onRows?: (rows: Row[]) => void, onMissed?: (count: number) => void,
 *   onState?: (state: FollowState, why: string) => void, signal?: AbortSignal, after?: string, last?: number
 * }} FollowOptions
 */

/** An error that the API reported, or that kept it from being reached (`status` 0). */
export class ApiError extends Error {
	/** @param {number} status @param {string} message */
	constructor(status, message) {
		super(message);
		this.name = "ApiError";
		this.status = status;
	}
}

const KEY = "nightaudit.token";

const GONE = "`nightaudit serve` can't be reached";

/** Milliseconds between attempts to reconnect: the first, and the longest. */
const BACK_OFF = [250, 5000];

/** A stream that sends nothing for so many milliseconds is dead: the console sends something every 15 seconds. */
const SILENCE = 40_000;

export class Api {
	/** @type {string | null} */
	#token = null;
	/** @type {() => void} */
	#unauthorized = () => {};

	constructor() {
		this.#token = this.#taken() ?? stored();
	}

	get hasToken() {
		return this.#token !== null;
	}

	/** @param {() => void} unauthorized */
	whenUnauthorized(unauthorized) {
		this.#unauthorized = unauthorized;
	}

	/** Takes the token out of the address bar, so that no history, bookmark or screenshot has it. */
	#taken() {
		const found = /^#\/?token=([^&]*)(?:&(.*))?$/.exec(location.hash);
		if (!found) return null;
		const rest = found[2] ? (found[2].startsWith("/") ? found[2] : `/${found[2]}`) : "";
		history.replaceState(null, "", location.pathname + (rest ? `#${rest}` : ""));
		const token = cleaned(found[1]);
		keep(token);
		return token;
	}

	/** Whether a token is accepted; keeps it if so. Takes the whole address that `serve` printed, too. @param {string} text */
	async tryToken(text) {
		const found = /[#?&]token=([^&\s]+)/.exec(text);
		const token = cleaned(found ? found[1] : text);
		if (!token) return false;
		const response = await this.#fetch("/api/v1/status", { headers: { Authorization: `Bearer ${token}` } });
		if (response.status === 401 || response.status === 403) return false;
		if (!response.ok && response.status !== 404) throw await failure(response);
		this.#token = token;
		keep(token);
		return true;
	}

	forget() {
		this.#token = null;
		keep(null);
	}

	/** @param {string} path @param {RequestInit} init */
	async #fetch(path, init) {
		try {
			return await fetch(path, { credentials: "omit", redirect: "error", referrerPolicy: "no-referrer", cache: "no-store", ...init });
		} catch (error) {
			if (init.signal?.aborted) throw error;
			throw new ApiError(0, GONE);
		}
	}

	/** A request with the token; throws an `ApiError` unless it succeeds. @param {string} path @param {RequestInit} [init] */
	async request(path, init = {}) {
		const headers = new Headers(init.headers);
		if (this.#token !== null) headers.set("Authorization", `Bearer ${this.#token}`);
		const response = await this.#fetch(path, { ...init, headers });
		if (response.status === 401) this.#unauthorized();
		if (!response.ok && response.status !== 304) throw await failure(response);
		return response;
	}

	/** @param {string} path @param {{signal?: AbortSignal}} [options] @returns {Promise<any>} */
	async get(path, options = {}) {
		return (await this.request(path, { signal: options.signal, headers: { Accept: "application/json" } })).json();
	}

	/** The text at a path. @param {string} path @param {{signal?: AbortSignal}} [options] */
	async text(path, options = {}) {
		return (await this.request(path, { signal: options.signal })).text();
	}

	/** The bytes at a path, with their type. @param {string} path @param {{signal?: AbortSignal}} [options] */
	async blob(path, options = {}) {
		return (await this.request(path, { signal: options.signal })).blob();
	}

	/**
	 * Sends JSON, or a `Blob` or text as it is; returns the response's JSON, or `null` without one.
	 * @param {string} method
	 * @param {string} path
	 * @param {unknown} [body]
	 * @param {{signal?: AbortSignal, type?: string}} [options]
	 * @returns {Promise<any>}
	 */
	async send(method, path, body, options = {}) {
		const raw = body instanceof Blob || typeof body === "string";
		const type = options.type ?? (raw ? undefined : "application/json");
		/** @type {Record<string, string>} */
		const headers = { Accept: "application/json" };
		if (type && body !== undefined) headers["Content-Type"] = type;
		const content = body === undefined ? undefined : raw ? /** @type {BodyInit} */ (body) : JSON.stringify(body);
		const response = await this.request(path, { method, body: content, signal: options.signal, headers });
		const text = await response.text();
		return text ? JSON.parse(text) : null;
	}

	/** Saves what is at a path as a file. @param {string} path @param {string} [name] The file's name; by default the one that the response states. */
	async download(path, name) {
		const response = await this.request(path);
		const stated = /filename="((?:[^"\\]|\\.)*)"/.exec(response.headers.get("Content-Disposition") ?? "");
		save(await response.blob(), name ?? stated?.[1].replace(/\\(.)/g, "$1") ?? "nightaudit");
	}

	/**
	 * Follows the rows that match `query`, until `signal` aborts. After an interruption it continues behind the last event,
	 * so that nothing is missed and nothing comes twice. Starts after the exchange or position `after`, with the latest
	 * `last`, or now.
	 *
	 * `EventSource` can't send the token in a header, so the stream is read from a response.
	 * @param {URLSearchParams | string[][] | string} query
	 * @param {FollowOptions} options
	 */
	async follow(query, options) {
		const { signal, onState = () => {} } = options;
		let lastId = options.after ?? "";
		let wait = BACK_OFF[0];
		onState("opening", "");
		while (!signal?.aborted) {
			const stop = new AbortController();
			const abort = () => stop.abort();
			signal?.addEventListener("abort", abort, { once: true });
			let silence = setTimeout(abort, SILENCE);
			try {
				const parameters = new URLSearchParams(query);
				parameters.set("rows", "true");
				if (!lastId && options.last !== undefined) parameters.set("last", String(options.last));
				/** @type {Record<string, string>} */
				const headers = lastId ? { "Last-Event-ID": lastId } : {};
				const response = await this.request(`/api/v1/follow?${parameters}`, { headers, signal: stop.signal });
				if (!response.body) throw new ApiError(0, GONE);
				onState("live", "");
				wait = BACK_OFF[0];
				const events = new Events();
				const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
				for (;;) {
					const { done, value } = await reader.read();
					if (done) break;
					clearTimeout(silence);
					silence = setTimeout(abort, SILENCE);
					const rows = [];
					for (const event of events.read(value)) {
						if (event.type === "row") rows.push(/** @type {Row} */ (JSON.parse(event.data)));
						else if (event.type === "missed") options.onMissed?.(Number(event.data));
					}
					lastId = events.lastId || lastId;
					if (signal?.aborted) return;
					if (rows.length && options.onRows) options.onRows(rows);
					if (options.onRow) rows.forEach(options.onRow);
				}
				onState("waiting", GONE);
			} catch (error) {
				if (signal?.aborted) return;
				const refused = error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 408 && error.status !== 429;
				if (refused) {
					onState("failed", error.message);
					return;
				}
				onState("waiting", error instanceof ApiError && error.status > 0 ? error.message : GONE);
			} finally {
				clearTimeout(silence);
				signal?.removeEventListener("abort", abort);
				stop.abort();
			}
			await pause(wait, signal);
			wait = Math.min(wait * 2, BACK_OFF[1]);
		}
	}
}

/** Splits a stream into server-sent events (HTML Standard, section 9.2.6). */
export class Events {
	#rest = "";
	#scanned = 0;
	/** The last id seen. */
	lastId = "";

	/** The events that this piece of the stream completes. @param {string} piece @returns {{type: string, data: string}[]} */
	read(piece) {
		const events = [];
		this.#rest += piece;
		let from = 0;
		for (;;) {
			// The console ends lines with a line feed only. What was searched before isn't searched again.
			const end = this.#rest.indexOf("\n\n", Math.max(from, this.#scanned - 1));
			if (end < 0) break;
			let type = "message";
			let data = "";
			for (const line of this.#rest.slice(from, end).split("\n")) {
				const colon = line.indexOf(":");
				if (colon < 1) continue;
				const value = line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
				const field = line.slice(0, colon);
				if (field === "id") this.lastId = value;
				else if (field === "event") type = value;
				else if (field === "data") data = data ? `${data}\n${value}` : value;
			}
			if (data) events.push({ type, data });
			from = end + 2;
			this.#scanned = from;
		}
		this.#rest = this.#rest.slice(from);
		this.#scanned = this.#rest.length;
		return events;
	}
}

/** Saves bytes as a file. @param {Blob} blob @param {string} name */
export function save(blob, name) {
	const link = document.createElement("a");
	link.href = URL.createObjectURL(blob);
	link.download = name;
	link.click();
	// The browser has begun to read it by then.
	setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** @param {Response} response */
async function failure(response) {
	let message = "";
	try {
		message = (await response.json()).error;
	} catch {
		// Not the API's own error.
	}
	return new ApiError(response.status, message || `${response.status} ${response.statusText}`.trim());
}

/** @param {string} text */
function cleaned(text) {
	try {
		return decodeURIComponent(text).trim();
	} catch {
		return text.trim();
	}
}

function stored() {
	try {
		return localStorage.getItem(KEY);
	} catch {
		return null;
	}
}

/** @param {string | null} token */
function keep(token) {
	try {
		if (token === null) localStorage.removeItem(KEY);
		else localStorage.setItem(KEY, token);
	} catch {
		// Storage is blocked: the token lasts as long as the page.
	}
}

/** @param {number} ms @param {AbortSignal} [signal] @returns {Promise<void>} */
export function pause(ms, signal) {
	return new Promise((done) => {
		const end = () => {
			clearTimeout(timer);
			signal?.removeEventListener("abort", end);
			done();
		};
		const timer = setTimeout(end, ms);
		signal?.addEventListener("abort", end);
	});
}
