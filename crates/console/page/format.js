// Times, durations, sizes and numbers, in the words of `tail` and `top`.

/** @param {number} number @param {number} digits */
const padded = (number, digits) => String(number).padStart(digits, "0");

/** The local time of day: `12:00:00.123`. Times are RFC 3339. @param {string | number | Date} at */
export function time(at) {
	const date = new Date(at);
	if (Number.isNaN(date.getTime())) return String(at);
	return `${clock(date)}.${padded(date.getMilliseconds(), 3)}`;
}

/** @param {Date} date */
const clock = (date) => `${padded(date.getHours(), 2)}:${padded(date.getMinutes(), 2)}:${padded(date.getSeconds(), 2)}`;

/** The local date: `2026-11-23`. @param {string | number | Date} at */
export function day(at) {
	const date = new Date(at);
	if (Number.isNaN(date.getTime())) return String(at);
	return `${padded(date.getFullYear(), 4)}-${padded(date.getMonth() + 1, 2)}-${padded(date.getDate(), 2)}`;
}

/** The local date and time: `2026-11-23 12:00:00`. @param {string | number | Date} at */
export function dateTime(at) {
	const date = new Date(at);
	return Number.isNaN(date.getTime()) ? String(at) : `${day(date)} ${clock(date)}`;
}

/** The local date and time to the minute, without the date if it is today: `12:00`, `2026-11-22 12:00`. @param {string | number | Date} at */
export function shortTime(at) {
	const date = new Date(at);
	if (Number.isNaN(date.getTime())) return String(at);
	const minute = `${padded(date.getHours(), 2)}:${padded(date.getMinutes(), 2)}`;
	return day(date) === day(new Date()) ? minute : `${day(date)} ${minute}`;
}

/** A duration with three significant digits: `84.3 ms`, `1.25 s`, `3m 20s`. Given in microseconds. @param {number} micros */
export function duration(micros) {
	if (micros < 1_000) return `${Math.trunc(micros)} us`;
	if (micros < 100_000) return `${(micros / 1e3).toFixed(1)} ms`;
	if (micros < 1_000_000) return `${(micros / 1e3).toFixed(0)} ms`;
	if (micros < 60_000_000) return `${(micros / 1e6).toFixed(2)} s`;
	const seconds = Math.trunc(micros / 1e6);
	return `${Math.trunc(seconds / 60)}m ${padded(seconds % 60, 2)}s`;
}

/** A long duration in its two largest units: `42s`, `3m 20s`, `47h 30m`, `5d 2h`. Given in seconds. @param {number} seconds */
export function span(seconds) {
	const whole = Math.max(0, Math.trunc(seconds));
	const [minutes, hours, days] = [Math.trunc(whole / 60), Math.trunc(whole / 3600), Math.trunc(whole / 86_400)];
	if (whole < 60) return `${whole}s`;
	if (whole < 3600) return `${minutes}m ${padded(whole % 60, 2)}s`;
	if (whole < 172_800) return `${hours}h ${padded(minutes % 60, 2)}m`;
	return `${days}d ${hours % 24}h`;
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** A number of bytes: `412 B`, `2.0 KiB`. @param {number} bytes */
export function size(bytes) {
	let unit = 0;
	let value = bytes;
	while (value >= 1024 && unit < UNITS.length - 1) {
		value /= 1024;
		unit++;
	}
	return unit === 0 ? `${bytes} B` : `${value.toFixed(1)} ${UNITS[unit]}`;
}

const COUNTS = new Intl.NumberFormat("en");

/** A number of things: `1,234,567`. @param {number} number */
export const count = (number) => COUNTS.format(number);

/** A number with its noun: `1 request`, `2 requests`; `plural` where it isn't an `s`. @param {number} number @param {string} noun @param {string} [plural] */
export const counted = (number, noun, plural) => `${count(number)} ${number === 1 ? noun : (plural ?? `${noun}s`)}`;

/** A status as `tail` prints it: `---` without a response. @param {number | null} status */
export const status = (status) => (status === null ? "---" : String(status));

/** The colour of a status, as in `tail`: `good`, `info`, `warn` or `bad`. @param {number | null} status */
export function statusLevel(status) {
	if (status === null || status >= 500 || status < 100) return "bad";
	if (status >= 400) return "warn";
	return status >= 200 && status < 300 ? "good" : "info";
}

/** A token's pseudonym without the prefix that all have. @param {string | null} token */
export const token = (token) => (token === null ? "" : token.replace(/^REDACTED:/, ""));

/** The end of an id, which commands accept; the start is the time, which neighbours share. @param {string} id */
export const shortId = (id) => id.slice(-6);
