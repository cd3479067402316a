// The run's activity by hour, its pauses, and how much of the 48 hours is behind it. An hour leads to its requests.

import { fill, h, svg } from "../dom.js";
import { count, counted, shortTime, span } from "../format.js";
import { address } from "../router.js";
import { exchangeLink, muted } from "./parts.js";

const HEIGHT = 116;
const [TOP, BASE] = [8, HEIGHT - 22];

/** Hours between two marks of the axis. */
const STEPS = [1, 2, 3, 6, 12, 24, 48, 96, 168, 336, 720];

const ms = (/** @type {string | null} */ at) => new Date(at ?? 0).getTime();

export function strip() {
	const picture = svg("svg", { height: HEIGHT, role: "group" });
	const chart = h("div", { class: "chart-place" }, picture);
	const words = h("p", { class: "readout muted" });
	const pauses = h("ul");
	/** @type {CertificationRun} */
	let run;
	/** @type {CertificationRun["gaps"]} */
	let gaps = [];
	/** The pauses that are findings, by what ended them. @type {Set<string>} */
	let flagged = new Set();

	const draw = () => {
		const width = chart.clientWidth;
		if (!run?.hours.length || width < 40) return;
		const first = ms(run.first);
		const start = ms(run.hours[0].at);
		const goal = first + run.askedS * 1000;
		const step = run.hourS * 1000;
		const end = Math.max(goal, ms(run.hours[run.hours.length - 1].at) + step);
		const x = (/** @type {number} */ at) => Math.min(width - 1, ((at - start) / (end - start)) * width);
		const most = Math.max(...run.hours.map(({ calls }) => calls));
		const thick = Math.max(1, x(start + step) - (width > 500 ? 2 : 1));
		const hours = (end - first) / 3_600_000;
		const every = STEPS.find((own) => (hours / own) * 56 <= width) ?? hours;
		picture.setAttribute("width", String(width));
		fill(picture,
			svg("rect", { class: "calls", x: x(first), y: BASE, width: x(ms(run.last)) - x(first), height: 3 }),
			svg("line", { class: "grid", x1: 0, x2: width, y1: BASE, y2: BASE }),
			gaps.map(({ from, to, seconds, endedBy }) => {
				const [left, wide] = [x(ms(from)), x(ms(to)) - x(ms(from))];
				const level = flagged.has(endedBy) ? "warn" : "";
				return [svg("rect", { class: `pause ${level}`, x: left, y: TOP, width: wide, height: BASE - TOP }),
					wide > 48 && svg("text", { class: level, x: left + wide / 2, y: HEIGHT / 2, "text-anchor": "middle" }, `${wide > 90 ? "pause " : ""}${span(seconds)}`)];
			}),
			run.hours.map(({ at, calls, failed }) => {
				// By the square root, so that a quiet hour is seen beside a busy one. What failed is a share of the bar.
				const tall = calls && Math.max(2, Math.sqrt(calls / most) * (BASE - TOP));
				const bad = calls && (failed / calls) * tall;
				const bar = { x: x(ms(at)), width: thick };
				const until = new Date(ms(at) + step).toISOString();
				return calls > 0 && svg("a", { tabindex: -1, href: address(["traffic"], { session: run.session ?? "", since: at, until }) },
					svg("title", null, `${shortTime(at)} to ${shortTime(until)}: ${counted(calls, "request")}, ${count(failed)} failed`),
					svg("rect", { class: "calls", ...bar, y: BASE - tall, height: tall - bad }), svg("rect", { class: "failed", ...bar, y: BASE - bad, height: bad }));
			}),
			Array.from({ length: Math.floor(hours / every) + 1 }, (_, place) => {
				const at = x(first + place * every * 3_600_000);
				return svg("text", { x: at, y: HEIGHT - 4, "text-anchor": at < 12 ? "start" : at > width - 16 ? "end" : "middle" }, `${place * every} h`);
			}),
			svg("line", { class: "goal", x1: x(goal), x2: x(goal), y1: 0, y2: BASE }));
	};
	new ResizeObserver(draw).observe(chart);

	return {
		element: h("figure", { class: "strip" }, chart, words, pauses),
		/** @param {CertificationRun} now @param {Finding[]} findings */
		draw(now, findings) {
			run = now;
			flagged = new Set(findings.filter(({ rule }) => rule === "run/gap").flatMap(({ exchanges }) => exchanges));
			gaps = run.gaps.filter(({ seconds }) => seconds >= 3600);
			words.textContent = `${shortTime(run.first ?? "")} to ${shortTime(run.last ?? "")}, active in ${count(run.activeHours)} of ${run.hourS === 3600 ? counted(run.totalHours, "hour") : counted(run.totalHours, "stretch", "stretches")}${run.starts ? `, ${counted(run.starts, "start")}` : ""}`;
			picture.setAttribute("aria-label", `Activity by hour. ${words.textContent}`);
			fill(pauses, gaps.slice(0, 3).map(({ from, to, seconds, endedBy }) =>
				h("li", null, h("b", { class: flagged.has(endedBy) ? "warn" : null }, `Pause of ${span(seconds)}`), muted(` from ${shortTime(from)} to ${shortTime(to)}, ended by `), exchangeLink(endedBy))));
			draw();
		},
	};
}
