// Many lines of the same height, of which only those in sight exist.

import { fill, h, perFrame } from "../dom.js";

/** Pixels of a line. */
export const LINE = 20;

/** As many lines as every browser lays out. */
const MOST = 800_000;

/** Lines drawn beyond the edges. */
const AROUND = 8;

export class Lines {
	#space = h("div", { class: "lines-space", role: "presentation" });
	#window = h("div", { class: "lines-window", role: "presentation" });
	#soon = perFrame(() => {
		this.#onSize();
		this.draw();
	});
	#sizes = new ResizeObserver(this.#soon);
	#line;
	#onSize;
	count = 0;

	/**
	 * `onSize` is called when the width may have changed.
	 * @param {{ label: string, look: string, role?: string, line: (index: number) => HTMLElement, onSize?: () => void }} options
	 */
	constructor({ label, look, role = "region", line, onSize = () => {} }) {
		this.#line = line;
		this.#onSize = onSize;
		this.element = h("div", { class: `lines ${look}`, tabindex: 0, role, "aria-label": label, onscroll: () => this.draw() }, this.#space);
		this.#space.append(this.#window);
		this.#sizes.observe(this.element);
	}

	/** @param {number} count */
	setCount(count) {
		this.count = Math.min(count, MOST);
		this.#space.style.height = `${this.count * LINE}px`;
		this.draw();
	}

	/** The line at the top, with its fraction. */
	get top() {
		return this.element.scrollTop / LINE;
	}

	/** Lines that fit, with their fraction. */
	get fits() {
		return Math.max(1, this.element.clientHeight / LINE);
	}

	draw() {
		const first = Math.max(0, Math.floor(this.top) - AROUND);
		const last = Math.min(this.count, Math.ceil(this.top + this.fits) + AROUND);
		const lines = [];
		for (let index = first; index < last; index++) lines.push(this.#line(index));
		fill(this.#window, lines);
		this.#window.style.transform = `translateY(${first * LINE}px)`;
	}

	/** Scrolls a line into view; to the middle if it isn't near. @param {number} index */
	reveal(index) {
		const { top, fits } = this;
		if (index >= top && index + 1 <= top + fits) return;
		const isNear = index >= top - 2 && index < top + fits + 2;
		this.scrollTo(!isNear ? index - Math.floor(fits / 2) : index < top ? index : index + 1 - fits);
	}

	/** @param {number} top a line */
	scrollTo(top) {
		this.element.scrollTop = Math.max(0, Math.min(top, this.count)) * LINE;
		this.draw();
	}

	/** @param {number} by @param {number} [aside] pixels to the right */
	scrollBy(by, aside = 0) {
		this.element.scrollLeft += aside;
		if (by) this.scrollTo(this.top + by);
	}

	leave() {
		this.#sizes.disconnect();
		this.#soon.cancel();
	}
}
