// JSON as an index over its text.
//
// `JSON.parse` would lose what the sender wrote: digits beyond a double's, duplicate names, the order of numeric names.
// And it recurses, and builds an object for every value. Here a value is a number, its place in flat arrays that say where
// it starts and ends in the text: a body of 5 MB takes a few milliseconds per slice of work, and any depth.

/** More values than this are shown as text: the index takes 32 bytes for each, and a browser lays out so many lines. */
export const MAX_VALUES = 600_000;

/** Values between two looks at the clock. */
const SLICE = 4096;

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;

/** Why text can't be shown as JSON. */
export class NotJson extends Error {
  /** @param {string} what @param {number} offset in UTF-16 units */
  constructor(what, offset) {
    super(what);
    this.offset = offset;
  }
}

/** A parsed text. Values are numbered in the order of the text; 0 is the whole. */
export class JsonDoc {
  /** @param {string} text @param {number} count @param {Int32Array[]} columns */
  constructor(text, count, columns) {
    this.text = text;
    /** Number of values. */
    this.count = count;
    /** Where the name starts in an object, with its quote; -1 elsewhere. */
    this.names = columns[0];
    this.starts = columns[1];
    this.ends = columns[2];
    this.parents = columns[3];
    /** The first value after this one and all it contains. */
    this.nexts = columns[4];
    this.depths = columns[5];
    /** Position among its siblings. */
    this.indexes = columns[6];
    /** Number of children. */
    this.sizes = columns[7];
  }

  /** The first character: `{ [ " t f n` or a digit's. @param {number} value */
  kind(value) {
    return this.text[this.starts[value]];
  }

  /** @param {number} value */
  isContainer(value) {
    const code = this.text.charCodeAt(this.starts[value]);
    return code === 0x7b || code === 0x5b;
  }

  /** The value as it is written. @param {number} value */
  raw(value) {
    return this.text.slice(this.starts[value], this.ends[value]);
  }

  /** A string's text; any other scalar as it is written. @param {number} value */
  scalar(value) {
    const raw = this.raw(value);
    return raw[0] === '"' ? unquote(raw) : raw;
  }

  /** The name in an object, or `null`. @param {number} value @returns {string | null} */
  name(value) {
    const start = this.names[value];
    return start < 0 ? null : unquote(this.text.slice(start, stringEnd(this.text, start)));
  }

  /** The JSON pointer (RFC 6901). @param {number} value */
  pointer(value) {
    /** @type {string[]} */
    const steps = [];
    for (let at = value; at > 0; at = this.parents[at]) {
      const name = this.name(at);
      steps.push(name === null ? String(this.indexes[at]) : escapeStep(name));
    }
    return steps.length ? `/${steps.reverse().join("/")}` : "";
  }

  /** The children of a container, in order. @param {number} value */
  *children(value) {
    const end = this.nexts[value];
    for (let child = value + 1; child < end; child = this.nexts[child]) yield child;
  }

  /**
   * The value at a pointer, or the deepest one on the way to it if there is none.
   * @param {string} pointer
   * @returns {{ value: number, exact: boolean }}
   */
  find(pointer) {
    let value = 0;
    for (const step of pointerSteps(pointer)) {
      const child = this.isContainer(value) ? this.#child(value, step) : -1;
      if (child < 0) return { value, exact: false };
      value = child;
    }
    return { value, exact: true };
  }

  /** @param {number} value @param {string} step */
  #child(value, step) {
    const isArray = this.kind(value) === "[";
    let found = -1;
    for (const child of this.children(value)) {
      if (isArray ? String(this.indexes[child]) === step : this.name(child) === step) {
        // Of two with the same name, parsers take the last.
        found = child;
        if (isArray) break;
      }
    }
    return found;
  }

  /** The values whose name or scalar contains `text`, in any case, in order. @param {string} text */
  search(text) {
    const wanted = text.toLowerCase();
    /** @type {number[]} */
    const found = [];
    if (!wanted) return found;
    for (let value = 0; value < this.count; value++) {
      const name = this.name(value);
      if (name?.toLowerCase().includes(wanted) || (!this.isContainer(value) && this.scalar(value).toLowerCase().includes(wanted))) found.push(value);
    }
    return found;
  }
}

/**
 * Parses without holding up the page: `budget` milliseconds of work, then a pause.
 * @param {string} text
 * @param {{ budget?: number, signal?: AbortSignal }} [options]
 * @returns {Promise<JsonDoc>}
 * @throws {NotJson}
 */
export async function parseJson(text, { budget = 12, signal } = {}) {
  const parser = new Parser(text);
  while (!parser.run(performance.now() + budget)) {
    await new Promise((resume) => setTimeout(resume));
    signal?.throwIfAborted();
  }
  return parser.document();
}

/** Parses at once. @param {string} text @throws {NotJson} */
export function parseJsonNow(text) {
  const parser = new Parser(text);
  parser.run(Infinity);
  return parser.document();
}

class Parser {
  #at = 0;
  #count = 0;
  #container = -1;
  #done = false;
  #room = 1024;
  #columns = Array.from({ length: 8 }, () => new Int32Array(1024));

  /** @param {string} text */
  constructor(text) {
    this.text = text;
    // A byte order mark isn't part of the JSON (RFC 8259, section 8.1).
    if (text.charCodeAt(0) === 0xfeff) this.#at = 1;
  }

  document() {
    return new JsonDoc(this.text, this.#count, this.#columns);
  }

  /** Whether it is done. @param {number} until */
  run(until) {
    let left = SLICE;
    while (!this.#done) {
      this.#value();
      if (--left === 0) {
        if (performance.now() > until) return this.#done;
        left = SLICE;
      }
    }
    return true;
  }

  /** One value, and all containers that end after it. */
  #value() {
    const { text } = this;
    const [names, starts, ends, parents, nexts, depths, indexes, sizes] = this.#grown();
    const container = this.#container;
    const value = this.#count++;
    names[value] = -1;
    let at = this.#space(this.#at);
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
    parents[value] = container;
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
    } else if (first === '"') {
      at = this.#string(at);
    } else {
      at = this.#word(at);
    }
    ends[value] = at;
    nexts[value] = value + 1;
    this.#end(at);
  }

  /** After a value: a comma, or the end of its container and of those around it. @param {number} at */
  #end(at) {
    const { text } = this;
    const [, starts, ends, parents, nexts] = this.#columns;
    for (;;) {
      at = this.#space(at);
      const container = this.#container;
      if (container < 0) {
        if (at < text.length) throw this.#unexpected(at, "the end");
        this.#done = true;
        break;
      }
      const last = text[starts[container]] === "{" ? "}" : "]";
      if (text[at] === ",") {
        at++;
        break;
      }
      if (text[at] !== last) throw this.#unexpected(at, `\`,\` or \`${last}\``);
      at++;
      ends[container] = at;
      nexts[container] = this.#count;
      this.#container = parents[container];
    }
    this.#at = at;
  }

  /** Columns with room for one more value. */
  #grown() {
    if (this.#count === this.#room) {
      if (this.#count >= MAX_VALUES) throw new NotJson(`more than ${MAX_VALUES.toLocaleString("en")} values`, this.#at);
      this.#room = Math.min(this.#room * 2, MAX_VALUES);
      this.#columns = this.#columns.map((column) => {
        const larger = new Int32Array(this.#room);
        larger.set(column);
        return larger;
      });
    }
    return this.#columns;
  }

  /** @param {number} at */
  #space(at) {
    for (;; at++) {
      const code = this.text.charCodeAt(at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return at;
    }
  }

  /** The end of the string that starts here. @param {number} at */
  #string(at) {
    const end = stringEnd(this.text, at);
    if (end < 0) throw new NotJson("a string without an end", at);
    return end;
  }

  /** @param {number} at */
  #word(at) {
    const { text } = this;
    for (const word of ["true", "false", "null"]) {
      if (text.startsWith(word, at)) return at + word.length;
    }
    NUMBER.lastIndex = at;
    if (!NUMBER.test(text)) throw this.#unexpected(at, "a value");
    return NUMBER.lastIndex;
  }

  /** @param {number} at @param {string} expected */
  #unexpected(at, expected) {
    const found = at < this.text.length ? `\`${String.fromCodePoint(this.text.codePointAt(at) ?? 0)}\`` : "the end";
    return new NotJson(`expected ${expected}, found ${found}`, at);
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

/** A JSON string's text; as it is written, if it breaks the grammar. @param {string} raw with its quotes */
function unquote(raw) {
  if (!raw.includes("\\")) return raw.slice(1, -1);
  try {
    return String(JSON.parse(raw));
  } catch {
    return raw.slice(1, -1);
  }
}

/** A step of a JSON pointer. @param {string} name */
export function escapeStep(name) {
  return name.replaceAll("~", "~0").replaceAll("/", "~1");
}

/** The steps of a JSON pointer. @param {string} pointer */
export function pointerSteps(pointer) {
  return pointer.split("/").slice(1).map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
}
