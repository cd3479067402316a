// Bytes as hexadecimal digits and characters.

import { h } from "../dom.js";
import { Lines } from "./lines.js";

/** Below this width, in pixels, a line has 8 bytes instead of 16. */
const NARROW = 620;

/** @param {Uint8Array} bytes @param {string} label @returns {Shown} */
export function hexView(bytes, label) {
	let per = 16;
	const lines = new Lines({
		label,
		look: "hex",
		line: (index) => {
			const part = Array.from(bytes.subarray(index * per, (index + 1) * per));
			const digits = part.map((byte, at) => (at === 8 ? " " : "") + byte.toString(16).padStart(2, "0")).join(" ");
			const letters = part.map((byte) => (byte > 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·")).join("");
			return h("div", { class: "line" }, h("span", { class: "muted" }, (index * per).toString(16).padStart(8, "0")), `  ${digits.padEnd(per * 3)}  ${letters}`);
		},
		onSize: () => {
			per = lines.element.clientWidth < NARROW ? 8 : 16;
			lines.setCount(Math.ceil(bytes.length / per));
		},
	});
	return { element: lines.element, acts: { lines, move: (by) => lines.scrollBy(by) }, leave: () => lines.leave() };
}
