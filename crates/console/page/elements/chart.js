// Requests over time: bars of requests, failures and refusals, on which a span is chosen by dragging, or by keys.

import { fill, h, perFrame, svg } from "../dom.js";
import { count, counted, day, dateTime, duration, span, time } from "../format.js";

/**
 * @typedef {{requests: number, failed: number, refused: number}} Bucket
 * @typedef {{from: string | null, until: string | null, bucketMs: number, buckets: Bucket[]}} Histogram
 */

const HEIGHT = 56;
/** The widest bar. */
const WIDEST = 16;
/** Pixels below the bars, for the times. */
const AXIS = 16;

/** @param {{chosen: (since: Date, until: Date) => void}} options */
export function chart({ chosen }) {
	const bars = { good: svg("path", { class: "c-requests" }), failed: svg("path", { class: "c-failed" }), refused: svg("path", { class: "c-refused" }) };
	const picked = svg("rect", { class: "c-picked", y: 0, height: HEIGHT, visibility: "hidden" });
	const axis = svg("g", { class: "c-axis" });
	const picture = svg("svg", { class: "c-svg", height: HEIGHT + AXIS, "aria-hidden": "true" }, bars.good, bars.failed, bars.refused, picked, axis);
	const tip = h("div", { class: "c-tip", hidden: true });
	const most = h("span", { class: "c-most" });
	const element = h("div", {
		class: "chart", role: "slider", tabindex: 0, "aria-label": "Requests over time: arrow keys move, with Shift they choose a span, Enter shows it",
		"aria-valuemin": 0, "aria-valuemax": 0, "aria-valuenow": 0, "aria-valuetext": "no requests",
	}, picture, most, tip);

	/** @type {Histogram} */
	let data = { from: null, until: null, bucketMs: 0, buckets: [] };
	let width = 0;
	/** The chosen buckets while choosing: where it began, and where it is. @type {{start: number, end: number} | null} */
	let pick = null;
	let cursor = -1;
	let drags = false;

	const at = (/** @type {number} */ bucket) => Date.parse(data.from ?? "") + bucket * data.bucketMs;
	const step = () => (data.buckets.length ? width / data.buckets.length : 0);

	const draw = perFrame(() => {
		const { buckets } = data;
		const highest = Math.max(1, ...buckets.map(({ requests }) => requests));
		const each = step();
		const gap = each > 5 ? 1 : 0;
		let [good, failed, refused] = ["", "", ""];
		buckets.forEach((bucket, place) => {
			if (!bucket.requests) return;
			const [x, w] = [place * each, Math.min(Math.max(each - gap, 0.5), WIDEST)];
			// What is there is seen, however little it is of the whole.
			const scaled = (/** @type {number} */ n) => (n ? Math.max(2, (n / highest) * (HEIGHT - 4)) : 0);
			const heights = [scaled(bucket.refused), scaled(bucket.failed)];
			const rest = Math.max(scaled(bucket.requests) - heights[0] - heights[1], bucket.requests > bucket.refused + bucket.failed ? 2 : 0);
			const bar = (/** @type {number} */ bottom, /** @type {number} */ height) => (height ? `M${x.toFixed(2)} ${(HEIGHT - bottom).toFixed(2)}v${(-height).toFixed(2)}h${w.toFixed(2)}v${height.toFixed(2)}z` : "");
			refused += bar(0, heights[0]);
			failed += bar(heights[0], heights[1]);
			good += bar(heights[0] + heights[1], rest);
		});
		bars.good.setAttribute("d", good);
		bars.failed.setAttribute("d", failed);
		bars.refused.setAttribute("d", refused);
		most.textContent = buckets.length ? `${count(highest)} in ${data.bucketMs < 1000 ? duration(data.bucketMs * 1000) : span(data.bucketMs / 1000)}` : "";
		drawAxis();
		drawPick();
		element.setAttribute("aria-valuemax", String(Math.max(0, buckets.length - 1)));
	});

	function drawAxis() {
		fill(axis);
		if (!data.buckets.length || width < 100) return;
		const labels = Math.max(2, Math.min(8, Math.floor(width / 150)));
		const short = data.bucketMs * data.buckets.length < 10_000;
		const long = data.bucketMs * data.buckets.length > 20 * 3_600_000;
		let before = "";
		for (let label = 0; label < labels; label++) {
			const x = (width / (labels - 1)) * label;
			const when = at((data.buckets.length / (labels - 1)) * label);
			const text = long ? `${day(when).slice(5)} ${time(when).slice(0, 5)}` : time(when).slice(0, short ? 10 : 8);
			if (text === before) continue;
			before = text;
			const anchor = label === 0 ? "start" : label === labels - 1 ? "end" : "middle";
			axis.append(svg("text", { x: x.toFixed(1), y: HEIGHT + 12, "text-anchor": anchor }, text));
		}
	}

	function drawPick() {
		const range = pick ?? (cursor >= 0 ? { start: cursor, end: cursor } : null);
		picked.setAttribute("visibility", range ? "visible" : "hidden");
		if (!range) return;
		const [first, last] = [Math.min(range.start, range.end), Math.max(range.start, range.end) + 1];
		picked.setAttribute("x", (first * step()).toFixed(2));
		picked.setAttribute("width", Math.max(2, (last - first) * step()).toFixed(2));
	}

	/** What is said of buckets. @param {number} start @param {number} end */
	function described(start, end) {
		const [first, last] = [Math.min(start, end), Math.max(start, end) + 1];
		const sum = { requests: 0, failed: 0, refused: 0 };
		for (const bucket of data.buckets.slice(first, last)) {
			sum.requests += bucket.requests;
			sum.failed += bucket.failed;
			sum.refused += bucket.refused;
		}
		return { from: at(first), until: at(last), ...sum };
	}

	/** @param {number} start @param {number} end @param {boolean} spoken */
	function tell(start, end, spoken) {
		const { from, until, requests, failed, refused } = described(start, end);
		const when = `${dateTime(from)} – ${day(from) === day(until) ? time(until).slice(0, 8) : dateTime(until)}`;
		fill(tip, h("div", { class: "muted" }, when), h("div", null, counted(requests, "request"), failed ? h("span", { class: "bad" }, `, ${count(failed)} failed`) : "", refused ? h("span", { class: "warn" }, `, ${count(refused)} refused`) : ""));
		tip.hidden = false;
		const middle = ((Math.min(start, end) + Math.max(start, end) + 1) / 2) * step();
		const half = tip.offsetWidth / 2;
		tip.style.left = `${Math.min(Math.max(middle, half + 4), Math.max(half + 4, width - half - 4))}px`;
		if (spoken) {
			element.setAttribute("aria-valuenow", String(end));
			element.setAttribute("aria-valuetext", tip.textContent ?? "");
		}
	}

	function choose() {
		if (!pick) return;
		const { from, until } = described(pick.start, pick.end);
		pick = null;
		cursor = -1;
		tip.hidden = true;
		drawPick();
		chosen(new Date(from), new Date(until));
	}

	function drop() {
		pick = null;
		cursor = -1;
		drags = false;
		tip.hidden = true;
		drawPick();
	}

	/** @param {PointerEvent} event */
	const bucketAt = (event) => {
		const { left } = element.getBoundingClientRect();
		return Math.min(Math.max(0, Math.floor((event.clientX - left) / (step() || 1))), Math.max(0, data.buckets.length - 1));
	};
	element.addEventListener("pointerdown", (event) => {
		if (event.button !== 0 || !data.buckets.length) return;
		drags = true;
		element.setPointerCapture(event.pointerId);
		pick = { start: bucketAt(event), end: bucketAt(event) };
		drawPick();
		tell(pick.start, pick.end, false);
	});
	element.addEventListener("pointermove", (event) => {
		if (!data.buckets.length) return;
		const bucket = bucketAt(event);
		if (drags && pick) pick.end = bucket;
		else cursor = bucket;
		drawPick();
		tell(pick?.start ?? bucket, bucket, false);
	});
	element.addEventListener("pointerup", () => {
		if (!drags) return;
		drags = false;
		choose();
	});
	element.addEventListener("pointercancel", drop);
	element.addEventListener("pointerleave", () => !drags && drop());
	element.addEventListener("blur", drop);
	element.addEventListener("keydown", (event) => {
		const end = data.buckets.length - 1;
		if (end < 0) return;
		const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity }[event.key];
		if (by !== undefined) {
			const from = pick?.end ?? (cursor >= 0 ? cursor : by < 0 ? end + 1 : -1);
			const to = Math.min(Math.max(0, from + by), end);
			if (event.shiftKey) pick = { start: pick?.start ?? (cursor >= 0 ? cursor : to), end: to };
			else pick = null;
			cursor = to;
			drawPick();
			tell(pick?.start ?? to, to, true);
		} else if (event.key === "Enter" && (pick || cursor >= 0)) {
			pick ??= { start: cursor, end: cursor };
			choose();
		} else if (event.key === "Escape" && (pick || cursor >= 0)) {
			drop();
		} else {
			return;
		}
		event.preventDefault();
		event.stopPropagation();
	});
	new ResizeObserver(() => {
		width = element.clientWidth;
		picture.setAttribute("width", String(width));
		draw();
	}).observe(element);

	return {
		element,
		/** @param {Histogram} histogram */
		set(histogram) {
			data = histogram;
			const total = histogram.buckets.reduce((sum, { requests }) => sum + requests, 0);
			if (cursor < 0) element.setAttribute("aria-valuetext", counted(total, "request"));
			draw();
		},
		/** Adds a request to the bars; whether it was within their time. @param {number} started @param {boolean} failed @param {boolean} refused */
		add(started, failed, refused) {
			const bucket = data.buckets[Math.floor((started - Date.parse(data.from ?? "")) / data.bucketMs)];
			if (!bucket) return false;
			bucket.requests++;
			if (failed) bucket.failed++;
			if (refused) bucket.refused++;
			draw();
			return true;
		},
	};
}
