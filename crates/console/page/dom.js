// Builds the page's elements. Everything recorded is hostile: text only ever becomes text nodes.

/** @typedef {Node | string | number | null | undefined | false} Child */
/** @typedef {Record<string, unknown>} Props */

/**
 * Creates an element.
 *
 * Props: `class`; `onclick` and the like are listeners; `dataset` an object; `value`, `checked`, `disabled`, `hidden` and
 * other booleans are set as such; the rest are attributes, which `null`, `undefined` and `false` leave out.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Props | null} [props]
 * @param {...Children} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, props, ...children) {
	const element = document.createElement(tag);
	// The default would submit the form around it.
	if (element instanceof HTMLButtonElement) element.type = "button";
	if (props) setProps(element, props);
	append(element, children);
	return element;
}

/**
 * Creates an SVG element.
 * @template {keyof SVGElementTagNameMap} T
 * @param {T} tag
 * @param {Props | null} [props]
 * @param {...Children} children
 * @returns {SVGElementTagNameMap[T]}
 */
export function svg(tag, props, ...children) {
	const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
	if (props) setProps(element, props);
	append(element, children);
	return element;
}

/** @param {Element} element @param {Props} props */
function setProps(element, props) {
	for (const [name, value] of Object.entries(props)) {
		if (value === null || value === undefined || value === false) continue;
		if (name.startsWith("on") && typeof value === "function") {
			element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
		} else if (name === "dataset") {
			Object.assign(/** @type {HTMLElement} */ (element).dataset, value);
		} else if (name === "value" && "value" in element) {
			element.value = String(value);
		} else {
			element.setAttribute(name, value === true ? "" : String(value));
		}
	}
}

/** Appends children: nodes, texts, lists of them; nothing for `null`, `undefined` and `false`. @param {Node} parent @param {Children[]} children */
export function append(parent, children) {
	for (const child of children) {
		if (Array.isArray(child)) append(parent, child);
		else if (child instanceof Node) parent.appendChild(child);
		else if (child !== null && child !== undefined && child !== false) parent.appendChild(document.createTextNode(String(child)));
	}
}

/**
 * Replaces what an element contains.
 * @template {Element} T
 * @param {T} element
 * @param {...Children} children
 * @returns {T}
 */
export function fill(element, ...children) {
	element.replaceChildren();
	append(element, children);
	return element;
}

/** C0 and C1 controls, bidirectional controls (Unicode Standard Annex 9), line separators, zero-width characters that hide, and halves of surrogate pairs. */
const CONTROL =
	// eslint-disable-next-line no-control-regex
	/[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u206f\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** A recorded text on one line, at most `longest` characters, with control characters as `\u001b`. @param {string} text @param {number} [longest] */
export function visible(text, longest = 500) {
	const cut = text.length > longest;
	const kept = cut ? text.slice(0, longest) : text;
	return kept.replace(CONTROL, escaped) + (cut ? "…" : "");
}

/** @param {string} letter */
function escaped(letter) {
	return "\\u" + letter.charCodeAt(0).toString(16).padStart(4, "0");
}

/**
 * A recorded text as an element: isolated from the direction of what is around it, control characters marked.
 * With `lines`, line breaks and tabs stay.
 * @param {string} text
 * @param {{longest?: number, lines?: boolean, class?: string}} [options]
 */
export function recorded(text, options = {}) {
	const { longest = 500, lines = false } = options;
	const cut = text.length > longest;
	const kept = cut ? text.slice(0, longest) : text;
	const element = h("bdi", { class: options.class ? `rec ${options.class}` : "rec" });
	let from = 0;
	for (const match of kept.matchAll(CONTROL)) {
		if (lines && (match[0] === "\n" || match[0] === "\t")) continue;
		if (lines && match[0] === "\r" && kept[match.index + 1] === "\n") continue;
		if (match.index > from) element.append(kept.slice(from, match.index));
		element.append(h("span", { class: "ctl" }, escaped(match[0])));
		from = match.index + match[0].length;
	}
	if (from < kept.length) element.append(kept.slice(from));
	if (cut) element.append(h("span", { class: "muted" }, "…"));
	return element;
}

/** A sentence with what is in backticks as code. @param {string} text */
export function prose(text) {
	return text.split("`").map((part, place, { length }) => (place % 2 && place < length - 1 ? h("code", null, part) : part));
}

/**
 * A function that runs at most once per animation frame, however often it is called. In a hidden tab, where frames stop,
 * it runs once the tab is shown.
 * @param {() => void} run
 */
export function perFrame(run) {
	let due = 0;
	const ask = () => {
		if (!due) {
			due = requestAnimationFrame(() => {
				due = 0;
				run();
			});
		}
	};
	ask.cancel = () => {
		if (due) cancelAnimationFrame(due);
		due = 0;
	};
	return ask;
}

/** A function that runs once after calls have paused for so many milliseconds. @param {number} ms @param {() => void} run */
export function afterPause(ms, run) {
	/** @type {ReturnType<typeof setTimeout> | undefined} */
	let timer;
	const ask = () => {
		clearTimeout(timer);
		timer = setTimeout(run, ms);
	};
	ask.cancel = () => clearTimeout(timer);
	return ask;
}

/** What an error says. @param {unknown} error */
export const said = (error) => (error instanceof Error ? error.message : String(error));
