// The edge between the list and the exchange beside it, dragged or moved by keys.

import { h } from "../dom.js";

/** The share of the width that the exchange has, in percent. */
const SHARE = { least: 25, most: 80, first: 50 };

/** @param {import("../settings.js").Settings} settings @param {HTMLElement} side What is beside the list. */
export function splitter(settings, side) {
	const element = h("div", { class: "splitter", role: "separator", tabindex: 0, "aria-orientation": "vertical", "aria-label": "Width of the exchange", "aria-valuemin": SHARE.least, "aria-valuemax": SHARE.most });
	let share = SHARE.first;
	/** @param {number} wanted */
	const set = (wanted) => {
		share = Math.round(Math.min(Math.max(wanted, SHARE.least), SHARE.most) * 10) / 10;
		side.style.flexBasis = `${share}%`;
		element.setAttribute("aria-valuenow", String(Math.round(share)));
	};
	set(Number(settings.get("side", String(SHARE.first))) || SHARE.first);
	const keep = () => settings.set("side", String(share));

	element.addEventListener("pointerdown", (event) => {
		element.setPointerCapture(event.pointerId);
		event.preventDefault();
	});
	element.addEventListener("pointermove", (event) => {
		const whole = element.parentElement?.getBoundingClientRect();
		if (!whole || !element.hasPointerCapture(event.pointerId)) return;
		set(((whole.right - event.clientX) / whole.width) * 100);
	});
	element.addEventListener("pointerup", keep);
	element.addEventListener("dblclick", () => {
		set(SHARE.first);
		keep();
	});
	element.addEventListener("keydown", (event) => {
		const by = { ArrowLeft: 2, ArrowRight: -2 }[event.key];
		if (!by) return;
		set(share + by);
		keep();
		event.preventDefault();
		event.stopPropagation();
	});
	return element;
}
