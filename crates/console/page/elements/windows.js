// The last half hour: how full the fullest window of a rule was against its limit, and what was refused.

import { fill, h, svg } from "../dom.js";
import { count, counted, time } from "../format.js";

/** Milliseconds that are shown, and between two marks of the axis. */
const [SHOWN, TICK] = [1_800_000, 300_000];

const clock = (/** @type {number} */ at) => time(at).slice(0, 8);

/**
 * A chart as wide as its place.
 * @param {number} height
 * @param {(width: number, start: number, points: {at: number, value: number}[]) => [string, ...Children[]]} paint What it shows in words, and its parts.
 */
function chart(height, paint) {
	const picture = svg("svg", { role: "img", height });
	const element = h("div", { class: "chart-place" }, picture);
	/** @type {{at: number, value: number}[]} */
	let points = [];
	const draw = () => {
		const start = Date.now() - SHOWN;
		if (element.clientWidth < 40) return;
		const [words, ...parts] = paint(element.clientWidth, start, points.filter(({ at }) => at >= start));
		picture.setAttribute("width", String(element.clientWidth));
		picture.setAttribute("aria-label", words);
		fill(picture, parts);
	};
	new ResizeObserver(draw).observe(element);
	return {
		element,
		/** @param {LimitHistory} history @param {(number | null)[]} values `null` while the machine slept. */
		draw({ from, stepMs }, values) {
			points = values.flatMap((value, place) => (value === null ? [] : { at: new Date(from ?? 0).getTime() + place * stepMs, value }));
			draw();
		},
	};
}

/** @param {string} rule */
export function windowChart(rule) {
	const [left, right, top, bottom, height] = [44, 8, 18, 20, 120];
	const readout = h("p", { class: "readout muted" });
	let limit = 1;
	const own = chart(height, (width, start, points) => {
		const most = Math.max(limit, ...points.map(({ value }) => value)) * 1.06;
		const x = (/** @type {number} */ at) => left + ((at - start) / SHOWN) * (width - left - right);
		const y = (/** @type {number} */ value) => height - bottom - (value / most) * (height - top - bottom);
		const line = points.map(({ at, value }, place) => `${place ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join("");
		const peak = points.reduce((best, point) => (point.value > best.value ? point : best), { at: 0, value: 0 });
		readout.textContent = peak.value ? `Fullest window: ${count(peak.value)} of ${count(limit)}, at ${clock(peak.at)}` : "Nothing was sent in the last 30 minutes";
		const ticks = [];
		for (let at = Math.ceil(start / TICK) * TICK; at <= start + SHOWN; at += width < 520 ? 2 * TICK : TICK) ticks.push(at);
		const across = { x1: left, x2: width - right };
		return [
			`${rule}. ${readout.textContent}`,
			ticks.map((at) => [svg("line", { class: "grid", x1: x(at), x2: x(at), y1: top, y2: y(0) }), svg("text", { x: x(at), y: height - 5, "text-anchor": "middle" }, time(at).slice(0, 5))]),
			svg("line", { class: "grid", ...across, y1: y(0), y2: y(0) }),
			points.length > 0 && svg("path", { class: "area", d: `${line}L${x(points[points.length - 1].at)} ${y(0)}L${x(points[0].at)} ${y(0)}Z` }),
			svg("path", { class: "line", d: line }),
			svg("line", { class: "limit", ...across, y1: y(limit), y2: y(limit) }),
			[0, limit].map((value) => svg("text", { class: value ? "bad" : null, x: left - 6, y: y(value) + 4, "text-anchor": "end" }, count(value))),
			svg("text", { class: "bad", x: left + 4, y: y(limit) - 5 }, "limit"),
		];
	});
	return {
		element: h("figure", null, own.element, readout),
		/** @param {LimitHistory} history @param {LimitHistory["rules"][0]} values */
		draw(history, values) {
			limit = values.limit;
			own.draw(history, values.points);
		},
	};
}

/** @param {string} name @param {string} level */
export function refusalLane(name, level) {
	const height = 44;
	const total = h("b");
	const own = chart(height, (width, start, points) => {
		const most = Math.max(...points.map(({ value }) => value));
		const sum = points.reduce((all, { value }) => all + value, 0);
		total.textContent = count(sum);
		total.className = sum ? level : "muted";
		return [`Refused ${name}: ${counted(sum, "request")}`, svg("line", { class: "grid", x1: 0, x2: width, y1: height - 1, y2: height - 1 }), points.map(({ at, value }) => {
			const tall = Math.max(3, (value / most) * (height - 4));
			return value > 0 && svg("rect", { class: level, x: ((at - start) / SHOWN) * width, y: height - 1 - tall, width: 4, height: tall }, svg("title", null, `${clock(at)}: ${counted(value, "request")}`));
		})];
	});
	return { element: h("div", { class: "lane" }, h("p", null, `Refused ${name} `, total), own.element), draw: own.draw };
}
