// The language of filters: that of the command line's flags and of `top`, as text, as query and back.

/** @typedef {[string, string][]} Pairs Names and values, as the API takes them. */

/** The filters' names, with what each means and an example. */
export const FILTERS = /** @type {const} */ ([
	["session", "in this session: a name or an id", "certification"],
	["operation", "for this operation, with * and ?, or several with commas", "reservations/*"],
	["status", "with this status, or several with commas", "4xx,500-599"],
	["outcome", "answered, refused, delayed, failed, …", "failed"],
	["since", "started at or after this time", "10m"],
	["until", "started before this time", "12:00"],
	["client", "from this Client, with * and ?", "Acme*"],
	["token", "with this token's pseudonym", "b1946ac92492"],
	["request-id", "with this Request-Id from Mews", "…"],
	["contains", "with this text in the URL, a header or a body", "Smith"],
	["slower-than", "slower than this", "500ms"],
]);

/** The values of `outcome`, with what they mean. */
export const OUTCOMES = /** @type {Record<string, string>} */ ({
	answered: "Mews responded, whatever the status",
	refused: "a limit refused the request",
	delayed: "a limit delayed the request",
	failed: "Mews sent no response, or not all of it",
	interrupted: "nightaudit was killed meanwhile",
	rejected: "the request could not be forwarded",
	aborted: "the client disconnected before it had the response",
	faulted: "an injected fault ended it",
});

/** A status, a class of them, a range, or a list of these. */
const STATUSES = /^\d(?:xx|\d\d)(?:-\d\d\d)?(?:,\d(?:xx|\d\d)(?:-\d\d\d)?)*$/i;

/**
 * Splits a text at blanks, except within quotation marks.
 * @param {string} text
 * @returns {{text: string, from: number, to: number, open: boolean}[]} Each word without its marks, and where it stands; `open` if its last mark is missing.
 */
export function words(text) {
	const found = [];
	let word = /** @type {{text: string, from: number} | null} */ (null);
	let quote = "";
	for (let at = 0; at < text.length; at++) {
		const letter = text[at];
		if (quote ? letter === quote : letter === '"' || letter === "'") {
			quote = quote ? "" : letter;
			word ??= { text: "", from: at };
		} else if (letter === " " && !quote) {
			if (word) found.push({ ...word, to: at, open: false });
			word = null;
		} else {
			word ??= { text: "", from: at };
			word.text += letter;
		}
	}
	if (word) found.push({ ...word, to: text.length, open: quote !== "" });
	return found;
}

/**
 * Reads a filter: `name=value`, or just a status or an operation. Values are not checked: the API does that.
 * @param {string} text
 * @returns {Pairs}
 * @throws {Error} What is wrong with it.
 */
export function parse(text) {
	return words(text.trim()).map(({ text: word, open }) => {
		if (open) throw new Error("a quotation mark is not closed");
		const equals = word.indexOf("=");
		if (equals > 0) return [word.slice(0, equals).replace(/^-+/, ""), word.slice(equals + 1)];
		const [mark, bare] = word.startsWith("!") ? ["!", word.slice(1)] : ["", word];
		if (STATUSES.test(bare)) return ["status", word];
		return ["operation", /[*?,]/.test(bare) ? word : `${mark}*${bare}*`];
	});
}

/** Writes a filter so that `parse` reads the same. @param {Iterable<[string, string]>} pairs */
export function write(pairs) {
	return [...pairs].map(([name, value]) => `${name}=${quoted(value)}`).join(" ");
}

/** A value in quotation marks, if it needs them. @param {string} value */
export function quoted(value) {
	if (!/[ '"]/.test(value)) return value;
	if (!value.includes('"')) return `"${value}"`;
	return value.includes("'") ? value.split('"').map((part) => `"${part}"`).join(`'"'`) : `'${value}'`;
}

/**
 * The filter for the API: its times resolved, because the API knows neither this browser's time zone nor when the filter
 * was chosen.
 * @param {Iterable<[string, string]>} pairs
 * @param {number} now
 */
export function resolve(pairs, now) {
	const query = new URLSearchParams();
	const given = [...pairs];
	const since = given.find(([name]) => name === "since");
	const from = since && instant(since[1], now, null);
	for (const [name, value] of given) {
		const at = name === "since" ? from : name === "until" ? instant(value, now, from ?? null) : null;
		query.append(name, at === null || at === undefined ? value : new Date(at).toISOString());
	}
	return query;
}

const UNITS = /** @type {Record<string, number>} */ ({ us: 1e-3, ms: 1, s: 1e3, m: 6e4, h: 3.6e6, d: 8.64e7, w: 6.048e8 });

/**
 * The instant that a text means: `10m` ago, a local time such as `12:00` or `2026-11-23 12:00`, a date's midnight. `null` for
 * anything else, RFC 3339 included, which the API reads itself.
 *
 * A time alone means the latest such time up to `now`, or with `after` the first one after that.
 * @param {string} text
 * @param {number} now
 * @param {number | null} after
 */
export function instant(text, now, after) {
	const ago = /^(\d+(?:\.\d+)?) ?(us|ms|s|m|h|d|w)$/.exec(text.trim());
	if (ago) return now - Number(ago[1]) * UNITS[ago[2]];
	const local = /^(?:(\d{4})-(\d\d)-(\d\d))?(?:(?:^|[ T])(\d{1,2}):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?$/.exec(text.trim());
	if (!local || local[0] === "") return null;
	const [year, month, day, hour, minute, second] = local.slice(1, 7).map((part) => Number(part ?? 0));
	const ms = Math.floor(Number(`0.${local[7] ?? "0"}`) * 1000);
	if (hour > 23 || minute > 59 || second > 59) return null;
	if (local[1]) {
		const date = new Date(year, month - 1, day, hour, minute, second, ms);
		return date.getMonth() === month - 1 && date.getDate() === day ? date.getTime() : null;
	}
	const today = new Date(after ?? now);
	const on = (/** @type {number} */ days) => new Date(today.getFullYear(), today.getMonth(), today.getDate() + days, hour, minute, second, ms).getTime();
	if (after !== null) return on(0) > after ? on(0) : on(1);
	return on(0) <= now ? on(0) : on(-1);
}
