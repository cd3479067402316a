// Line icons on a grid of 16, drawn here.

import { svg } from "../dom.js";

const PATHS = /** @type {Record<string, string[]>} */ ({
	traffic: ["M2 4h12", "M2 8h8", "M2 12h10"],
	limits: ["M2 12a6 6 0 1 1 12 0", "M8 12l3-4"],
	run: ["M8 1.8 13 4v4c0 3.200-2.200 5.300-5 6.300C5.200 13.300 3 11.200 3 8V4z", "M5.800 8l1.700 1.700L10.500 6.500"],
	sessions: ["M2.500 3.500h11v3h-11z", "M2.500 9.500h11v3h-11z"],
	light: ["M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6z", "M8 1v1.500M8 13.500V15M1 8h1.500M13.500 8H15M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1"],
	dark: ["M13.500 9.500A6 6 0 0 1 6.500 2.500a6 6 0 1 0 7 7z"],
	system: ["M2 3h12v8H2z", "M6 14h4M8 11v3"],
	help: ["M8 1.800a6.200 6.200 0 1 0 0 12.400A6.200 6.200 0 0 0 8 1.800z", "M6.200 6.200a1.800 1.800 0 1 1 2.600 1.600c-.6.3-.8.6-.8 1.200", "M8 11.300v.1"],
	copy: ["M5.500 5.500h8v8h-8z", "M10.500 5.500v-3h-8v8h3"],
	close: ["M3.500 3.500l9 9M12.500 3.500l-9 9"],
	down: ["M3.500 6 8 10.500 12.500 6"],
	right: ["M6 3.500 10.500 8 6 12.500"],
	left: ["M10 3.500 5.500 8 10 12.500"],
	up: ["M3.500 10 8 5.500 12.500 10"],
	follow: ["M4 3.500l4 4 4-4", "M4 8.500l4 4 4-4"],
	filter: ["M2 3h12L9.500 8.500v4.500l-3-1.500v-3z"],
	search: ["M7 2.500a4.500 4.500 0 1 0 0 9 4.500 4.500 0 0 0 0-9z", "M10.300 10.300 14 14"],
	mark: ["M4 2.500h8v11L8 10.500 4 13.500z"],
	download: ["M8 2v8M4.500 7 8 10.500 11.500 7", "M2.500 11v2.500h11V11"],
	play: ["M4.500 3v10l8-5z"],
	more: ["M3 8h.1M8 8h.1M13 8h.1"],
	link: ["M6.500 9.500l3-3", "M7 4.500l1.500-1.500a2.800 2.800 0 0 1 4 4L11 8.500M9 11.500 7.500 13a2.800 2.800 0 0 1-4-4L5 7.500"],
});

/** An icon; what it means is said in text beside it or by its button's label. @param {string} name */
export function icon(name) {
	const paths = PATHS[name] ?? [];
	return svg("svg", { class: "icon-svg", viewBox: "0 0 16 16", "aria-hidden": "true" }, paths.map((d) => svg("path", { d })));
}
