// JSON as an index over its text.
//
// `JSON.parse` would lose what the sender wrote: digits beyond a double's, repeated names, the order of numeric names. It
// recurses, too, and makes an object of every value. Here a value is a number, and flat arrays say where it is in the text.

/** More are shown as text: the index takes 32 bytes for each, and browsers lay out only so many lines. */
export const MAX_VALUES = 600_000;

/** Values between two looks at the clock. */
const SLICE = 4096;

/** Characters of a value that is kept once it was read. */
const LONG = 100_000;

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;

/** Why text can't be shown as JSON. */
export class NotJson extends Error {
	/** @param {string} what @param {number} offset in UTF-16 units */
	constructor(what, offset) {
		super(what);
		this.offset = offset;
	}
}

/** Values are numbered in the order of the text; 0 is the whole. */
export class JsonDoc {
	/** The long value that was read last: a line of it is drawn again and again. */
	#long = { value: -1, text: "" };

	/** @param {string} text @param {number} count @param {Int32Array[]} columns */
	constructor(text, count, columns) {
		this.text = text;
		this.count = count;
		/** Where a name starts, with its quote; -1 without one. */
		this.names = columns[0];
		this.starts = columns[1];
		this.ends = columns[2];
		this.parents = columns[3];
		/** The first value after this one and all in it. */
		this.nexts = columns[4];
		this.depths = columns[5];
		/** Among its siblings. */
		this.indexes = columns[6];
		this.sizes = columns[7];
	}

	/** The first character. @param {number} value */
	kind(value) {
		return this.text[this.starts[value]];
	}

	/** @param {number} value */
	isContainer(value) {
		return "{[".includes(this.kind(value));
	}

	/** As it is written. @param {number} value */
	raw(value) {
		return this.text.slice(this.starts[value], this.ends[value]);
	}

	/** A string's text; anything else as it is written. @param {number} value */
	scalar(value) {
		if (this.ends[value] - this.starts[value] < LONG) return unquote(this.raw(value));
		if (this.#long.value !== value) this.#long = { value, text: unquote(this.raw(value)) };
		return this.#long.text;
	}

	/** The name in an object, or `null`. @param {number} value */
	name(value) {
		const start = this.names[value];
		return start < 0 ? null : unquote(this.text.slice(start, stringEnd(this.text, start)));
	}

	/** The JSON pointer (RFC 6901). @param {number} value */
	pointer(value) {
		const steps = [];
		for (let at = value; at > 0; at = this.parents[at]) steps.push("/" + (this.name(at) ?? `${this.indexes[at]}`).replaceAll("~", "~0").replaceAll("/", "~1"));
		return steps.reverse().join("");
	}

	/** @param {number} value */
	*children(value) {
		for (let child = value + 1; child < this.nexts[value]; child = this.nexts[child]) yield child;
	}

	/** The value at a pointer, or the deepest one on the way to it. @param {string} pointer */
	find(pointer) {
		let value = 0;
		for (const part of pointer.split("/").slice(1)) {
			const step = part.replaceAll("~1", "/").replaceAll("~0", "~");
			let found = -1;
			// Of two with the same name, parsers take the last.
			if (this.isContainer(value)) for (const child of this.children(value)) if ((this.name(child) ?? `${this.indexes[child]}`) === step) found = child;
			if (found < 0) return { value, exact: false };
			value = found;
		}
		return { value, exact: true };
	}

	/** The values whose name or scalar contains `text`, in any case. @param {string} text */
	search(text) {
		const wanted = text.toLowerCase();
		/** @type {number[]} */
		const found = [];
		if (!wanted) return found;
		for (let value = 0; value < this.count; value++) {
			if (this.name(value)?.toLowerCase().includes(wanted) || (!this.isContainer(value) && this.scalar(value).toLowerCase().includes(wanted))) found.push(value);
		}
		return found;
	}
}

/**
 * Parses without holding up the page: `budget` milliseconds of work, then a pause.
 * @param {string} text @param {{ budget?: number, signal?: AbortSignal }} [options]
 * @throws {NotJson}
 */
export async function parseJson(text, { budget = 12, signal } = {}) {
	const parser = new Parser(text);
	while (!parser.run(performance.now() + budget)) {
		await new Promise((resume) => setTimeout(resume));
		signal?.throwIfAborted();
	}
	return parser.document;
}

/** @param {string} text @throws {NotJson} */
export function parseJsonNow(text) {
	const parser = new Parser(text);
	parser.run(Infinity);
	return parser.document;
}

class Parser {
	#at = 0;
	#count = 0;
	#container = -1;
	#done = false;
	#columns = Array.from({ length: 8 }, () => new Int32Array(1024));

	/** @param {string} text */
	constructor(text) {
		this.text = text;
		// A byte order mark isn't part of it (RFC 8259, section 8.1).
		if (text[0] === "\ufeff") this.#at = 1;
	}

	get document() {
		return new JsonDoc(this.text, this.#count, this.#columns);
	}

	/** Whether it is done. @param {number} until */
	run(until) {
		for (let left = SLICE; !this.#done; left--) {
			if (left === 0) {
				if (performance.now() > until) return false;
				left = SLICE;
			}
			this.#value();
		}
		return true;
	}

	/** One value, and all containers that end after it. */
	#value() {
		const { text } = this;
		if (this.#count === this.#columns[0].length) this.#grow();
		const [names, starts, ends, parents, nexts, depths, indexes, sizes] = this.#columns;
		const container = this.#container;
		const value = this.#count++;
		let at = this.#space(this.#at);
		names[value] = -1;
		parents[value] = container;
		if (container >= 0) {
			depths[value] = depths[container] + 1;
			indexes[value] = sizes[container]++;
			if (text[starts[container]] === "{") {
				if (text[at] !== '"') throw this.#unexpected(at, "a name");
				names[value] = at;
				at = this.#space(this.#string(at));
				if (text[at] !== ":") throw this.#unexpected(at, "`:`");
				at = this.#space(at + 1);
			}
		}
		starts[value] = at;
		const first = text[at];
		if (first === "{" || first === "[") {
			at = this.#space(at + 1);
			if (text[at] !== (first === "{" ? "}" : "]")) {
				this.#container = value;
				this.#at = at;
				return;
			}
			at++;
		} else {
			at = first === '"' ? this.#string(at) : this.#word(at);
		}
		ends[value] = at;
		nexts[value] = this.#count;
		for (;;) {
			at = this.#space(at);
			const inside = this.#container;
			if (inside < 0) {
				if (at < text.length) throw this.#unexpected(at, "the end");
				this.#done = true;
				return;
			}
			this.#at = at + 1;
			if (text[at] === ",") return;
			const last = text[starts[inside]] === "{" ? "}" : "]";
			if (text[at] !== last) throw this.#unexpected(at, `\`,\` or \`${last}\``);
			ends[inside] = ++at;
			nexts[inside] = this.#count;
			this.#container = parents[inside];
		}
	}

	#grow() {
		if (this.#count >= MAX_VALUES) throw new NotJson(`more than ${MAX_VALUES.toLocaleString("en")} values`, this.#at);
		this.#columns = this.#columns.map((column) => {
			const larger = new Int32Array(Math.min(column.length * 2, MAX_VALUES));
			larger.set(column);
			return larger;
		});
	}

	/** The first character that is no white space. @param {number} at */
	#space(at) {
		while (" \n\r\t".includes(this.text[at] ?? "x")) at++;
		return at;
	}

	/** @param {number} at */
	#string(at) {
		const end = stringEnd(this.text, at);
		if (end < 0) throw new NotJson("a string without an end", at);
		return end;
	}

	/** @param {number} at */
	#word(at) {
		for (const word of ["true", "false", "null"]) if (this.text.startsWith(word, at)) return at + word.length;
		NUMBER.lastIndex = at;
		if (!NUMBER.test(this.text)) throw this.#unexpected(at, "a value");
		return NUMBER.lastIndex;
	}

	/** @param {number} at @param {string} expected */
	#unexpected(at, expected) {
		const found = String.fromCodePoint(this.text.codePointAt(at) ?? 0);
		return new NotJson(`expected ${expected}, found ${at < this.text.length ? `\`${found}\`` : "the end"}`, at);
	}
}

/** The end of the JSON string that starts at `at`; -1 if it has none. @param {string} text @param {number} at */
function stringEnd(text, at) {
	for (let quote = text.indexOf('"', at + 1); quote >= 0; quote = text.indexOf('"', quote + 1)) {
		let slashes = 0;
		while (text[quote - 1 - slashes] === "\\") slashes++;
		if (slashes % 2 === 0) return quote + 1;
	}
	return -1;
}

/** A JSON string's text; anything else, and what breaks the grammar, as it is written. @param {string} raw */
function unquote(raw) {
	if (raw[0] !== '"') return raw;
	if (raw.includes("\\")) {
		try {
			return String(JSON.parse(raw));
		} catch {
			// A control character or an escape that JSON doesn't have.
		}
	}
	return raw.slice(1, -1);
}
