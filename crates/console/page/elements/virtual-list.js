// A list that draws only the rows in sight, of any number of rows.
//
// Browsers don't lay out elements higher than some 17 million pixels, which is less than a million rows. Beyond `HIGHEST`,
// the scroll bar is a scale: a drag goes to its part of the list, while the wheel, a finger and keys move by pixels as
// everywhere. Once scrolling rests, the bar is put where it tells the truth.

import { h, perFrame } from "../dom.js";

/** The height in pixels from which on the scroll bar is a scale. */
const HIGHEST = 8_000_000;
/** Rows drawn above and below those in sight. */
const MORE = 8;
/** Milliseconds without a scroll event after which scrolling rests. */
const REST = 150;

/**
 * @typedef {{
 *   label: string, rowHeight: () => number, make: () => HTMLElement, paint: (element: HTMLElement, position: number) => void,
 *   range: (first: number, last: number) => void, follows: (follows: boolean) => void, open: (position: number) => void
 * }} ListOptions
 */

export class VirtualList {
	#options;
	#layer = h("div", { class: "vlist-layer", role: "presentation" });
	#space = h("div", { class: "vlist-space", role: "presentation" });
	/** @type {HTMLElement[]} */
	#rows = [];
	#first = 0;
	#count = 0;
	#rowHeight = 26;
	#height = 0;
	/** Where the list is: the pixel of all rows' pixels that is at the top. */
	#at = 0;
	/** Where the scroll bar is. */
	#bar = 0;
	#follows = true;
	#rest = 0;
	#dirty = true;

	/** The scrolling element. */
	element;
	/** Draws in the next frame. */
	draw = perFrame(() => this.#draw());

	/** @param {ListOptions} options */
	constructor(options) {
		this.#options = options;
		this.#space.append(this.#layer);
		this.element = h("div", { class: "vlist", role: "grid", tabindex: 0, "aria-label": options.label, "aria-rowcount": 0 }, this.#space);
		this.element.addEventListener("scroll", () => this.#scrolled(), { passive: true });
		// At once: a scroll event comes after the next live rows, which would put the list back to its end.
		const leaves = () => this.#end > 0 && this.#setFollows(false);
		this.element.addEventListener("wheel", (event) => event.deltaY < 0 && leaves(), { passive: true });
		this.element.addEventListener("touchmove", leaves, { passive: true });
		this.element.addEventListener("click", (event) => {
			const row = event.target instanceof Element ? event.target.closest("[role=row]") : null;
			const place = row instanceof HTMLElement ? this.#rows.indexOf(row) : -1;
			if (place >= 0 && this.#first + place < this.#count) options.open(this.#first + place);
		});
		new ResizeObserver(() => this.resized()).observe(this.element);
	}

	get follows() {
		return this.#follows;
	}

	get count() {
		return this.#count;
	}

	/** Rows that fit. */
	get fits() {
		return Math.max(1, Math.floor(this.#height / this.#rowHeight));
	}

	/** The first and last positions wholly in sight. */
	get seen() {
		const first = Math.ceil(this.#at / this.#rowHeight);
		return { first, last: Math.min(this.#count - 1, Math.floor((this.#at + this.#height) / this.#rowHeight) - 1) };
	}

	get #whole() {
		return this.#count * this.#rowHeight;
	}

	get #scrollable() {
		return Math.min(this.#whole, HIGHEST);
	}

	/** The last pixel that can be at the top. */
	get #end() {
		return Math.max(0, this.#whole - this.#height);
	}

	get #isScaled() {
		return this.#whole > HIGHEST;
	}

	/** Call when the rows' height may have changed. */
	resized() {
		const top = this.#at / this.#rowHeight;
		this.#rowHeight = this.#options.rowHeight();
		this.#height = this.element.clientHeight;
		this.#at = top * this.#rowHeight;
		this.#dirty = true;
		this.#place();
	}

	/** Sets the number of rows. The list stays where it is, or at its end if it follows. @param {number} count */
	setCount(count) {
		if (count === this.#count) return;
		this.#count = count;
		this.element.setAttribute("aria-rowcount", String(count));
		this.#place();
	}

	/** Call when rows came before the first (or went, if negative): what is in sight stays. @param {number} rows */
	shift(rows) {
		this.#count += rows;
		this.#at += rows * this.#rowHeight;
		this.#dirty = true;
		this.element.setAttribute("aria-rowcount", String(this.#count));
		this.#place(true);
	}

	/** Paints all rows anew. */
	refresh() {
		this.#dirty = true;
		this.draw();
	}

	/** @param {boolean} follows */
	setFollows(follows) {
		this.#setFollows(follows);
		if (follows) this.#place();
	}

	/** @param {boolean} follows */
	#setFollows(follows) {
		if (follows === this.#follows) return;
		this.#follows = follows;
		this.#options.follows(follows);
	}

	/** Scrolls until a row is in sight, no further than needed; with `middle`, to the middle. @param {number} position @param {boolean} [middle] */
	show(position, middle = false) {
		const top = position * this.#rowHeight;
		const below = top + this.#rowHeight - this.#height;
		if (middle && (top < this.#at || below > this.#at)) this.#at = top - (this.#height - this.#rowHeight) / 2;
		else if (top < this.#at) this.#at = top;
		else if (below > this.#at) this.#at = below;
		else return;
		this.#setFollows(false);
		this.#place(true);
	}

	/** Puts the scroll bar where the list is, and draws. */
	#place(corrects = false) {
		this.#at = this.#follows ? this.#end : Math.min(Math.max(0, this.#at), this.#end);
		const height = `${Math.max(this.#scrollable, 1)}px`;
		if (this.#space.style.height !== height) this.#space.style.height = height;
		const range = this.#scrollable - this.#height;
		const bar = this.#end > 0 && range > 0 ? Math.round((this.#at / this.#end) * range) : 0;
		// While someone scrolls, the bar is theirs: to set it would end that. It is put right once they rest.
		const isTheirs = this.#rest !== 0 && !this.#follows && !corrects;
		if (!isTheirs && (Math.abs(bar - this.#bar) >= 1 || (this.#follows && this.element.scrollTop !== bar))) {
			this.element.scrollTop = bar;
			// As the browser has it: it may round.
			this.#bar = this.element.scrollTop;
		}
		this.draw();
	}

	#scrolled() {
		const bar = this.element.scrollTop;
		const by = bar - this.#bar;
		if (by === 0) return;
		this.#bar = bar;
		const range = Math.max(1, this.#scrollable - this.#height);
		if (!this.#isScaled) this.#at = bar;
		else if (Math.abs(by) < this.#height * 2) this.#at += by;
		else this.#at = (bar / range) * this.#end;
		this.#at = Math.min(Math.max(0, this.#at), this.#end);
		this.#setFollows(this.#at >= this.#end - 2);
		// The bar is at an end, and the list is not.
		if (this.#isScaled && ((bar <= 0 && this.#at > 1) || (bar >= range - 1 && this.#at < this.#end - 1))) this.#place(true);
		this.draw();
		clearTimeout(this.#rest);
		this.#rest = window.setTimeout(() => {
			this.#rest = 0;
			this.#place();
		}, REST);
	}

	#draw() {
		if (this.#height === 0) return;
		const first = Math.max(0, Math.floor(this.#at / this.#rowHeight) - MORE);
		const last = Math.min(this.#count, Math.ceil((this.#at + this.#height) / this.#rowHeight) + MORE);
		const needed = last - first;
		while (this.#rows.length < needed) {
			const row = this.#options.make();
			this.#rows.push(row);
			this.#layer.append(row);
			this.#dirty = true;
		}
		while (this.#rows.length > needed) this.#rows.pop()?.remove();
		const by = first - this.#first;
		this.#first = first;
		if (!this.#dirty && by !== 0 && Math.abs(by) < needed) this.#rotate(by);
		else if (this.#dirty || by !== 0) this.#rows.forEach((row, place) => this.#options.paint(row, first + place));
		this.#dirty = false;
		this.#layer.style.top = `${first * this.#rowHeight - this.#at + this.#bar}px`;
		this.#options.range(first, last);
	}

	/** Moves the rows that left at one end to the other. @param {number} by */
	#rotate(by) {
		if (by > 0) {
			const gone = this.#rows.splice(0, by);
			this.#rows.push(...gone);
			this.#layer.append(...gone);
		} else {
			const gone = this.#rows.splice(by);
			this.#rows.unshift(...gone);
			this.#layer.prepend(...gone);
		}
		const [from, to] = by > 0 ? [this.#rows.length - by, this.#rows.length] : [0, -by];
		for (let place = from; place < to; place++) this.#options.paint(this.#rows[place], this.#first + place);
	}
}
