// What differs between two JSON documents, as lines to show side by side.

/** @typedef {import("./json-doc.js").JsonDoc} JsonDoc */
/**
 * A line: a value of the left document beside one of the right, -1 where there is none. `same` are equal with all that they
 * contain, which isn't listed; `inside` are containers that differ in what they contain, which follows; the others are
 * changed, removed or added with all that they contain.
 * @typedef {{ kind: "same" | "inside" | "changed" | "removed" | "added", left: number, right: number, depth: number }} DiffLine
 */

/** Deeper values are compared as they are written. */
const MAX_DEPTH = 500;

/**
 * Compares two documents. Names of objects may be in any order; items of arrays are matched by their `Id` if all have one,
 * else by what they are.
 * @param {JsonDoc} left @param {JsonDoc} right
 * @returns {DiffLine[]}
 */
export function diffJson(left, right) {
  /** @type {DiffLine[]} */
  const lines = [];
  /** @param {number} a @param {number} b @param {number} depth */
  const pair = (a, b, depth) => {
    const kind = left.kind(a);
    const isAlike = left.scalar(a) === right.scalar(b);
    if (kind !== right.kind(b) || !left.isContainer(a) || isAlike || depth >= MAX_DEPTH) {
      lines.push({ kind: isAlike && kind === right.kind(b) ? "same" : "changed", left: a, right: b, depth });
      return;
    }
    const at = lines.push({ kind: "inside", left: a, right: b, depth }) - 1;
    (kind === "{" ? objects : arrays)(a, b, depth + 1);
    let same = at + 1;
    while (lines[same]?.kind === "same") same++;
    // Written differently, but the same.
    if (same === lines.length) {
      lines.length = at;
      lines.push({ kind: "same", left: a, right: b, depth });
    }
  };
  const removed = (/** @type {number} */ a, /** @type {number} */ depth) => lines.push({ kind: "removed", left: a, right: -1, depth });
  const added = (/** @type {number} */ b, /** @type {number} */ depth) => lines.push({ kind: "added", left: -1, right: b, depth });

  /** @param {number} a @param {number} b @param {number} depth */
  const objects = (a, b, depth) => {
    const others = numbered([...right.children(b)], (child) => right.name(child) ?? "");
    for (const [name, child] of numbered([...left.children(a)], (child) => left.name(child) ?? "")) {
      const other = others.get(name);
      if (other === undefined) removed(child, depth);
      else pair(child, other, depth);
      others.delete(name);
    }
    for (const child of others.values()) added(child, depth);
  };

  /** @param {number} a @param {number} b @param {number} depth */
  const arrays = (a, b, depth) => {
    const [mine, theirs] = [[...left.children(a)], [...right.children(b)]];
    const ids = [mine.map((item) => idOf(left, item)), theirs.map((item) => idOf(right, item))];
    const byId = ids.flat().every((id) => id !== null);
    const keys = (/** @type {JsonDoc} */ doc, /** @type {number[]} */ items, /** @type {(string | null)[]} */ ids) =>
      [...numbered(items, (item, at) => (byId ? (ids[at] ?? "") : doc.raw(item))).keys()];
    let [i, j] = [0, 0];
    /** @param {number} toI @param {number} toJ */
    const upTo = (toI, toJ) => {
      // Between two matches by position, unless each has an id of its own.
      if (!byId) while (i < toI && j < toJ) pair(mine[i++], theirs[j++], depth);
      while (i < toI) removed(mine[i++], depth);
      while (j < toJ) added(theirs[j++], depth);
    };
    for (const [x, y] of inOrder(keys(left, mine, ids[0]), keys(right, theirs, ids[1]))) {
      upTo(x, y);
      pair(mine[i++], theirs[j++], depth);
    }
    upTo(mine.length, theirs.length);
  };

  pair(0, 0, 0);
  return lines;
}

/** How many lines say that something differs. @param {DiffLine[]} lines */
export function countChanges(lines) {
  return lines.filter(({ kind }) => kind !== "same" && kind !== "inside").length;
}

/** Values by their key; what is there again is numbered. @param {number[]} values @param {(value: number, at: number) => string} key */
function numbered(values, key) {
  /** @type {Map<string, number>} */
  const times = new Map();
  return new Map(
    values.map((value, at) => {
      const own = key(value, at);
      const time = times.get(own) ?? 0;
      times.set(own, time + 1);
      return [`${time} ${own}`, value];
    }),
  );
}

/** An object's `Id`, if it is a text. @param {JsonDoc} doc @param {number} item */
function idOf(doc, item) {
  if (doc.kind(item) !== "{") return null;
  for (const child of doc.children(item)) if (doc.kind(child) === '"' && doc.name(child) === "Id") return doc.scalar(child);
  return null;
}

/**
 * The longest common subsequence of two lists without repetitions, as pairs of positions.
 * @param {string[]} a @param {string[]} b
 */
function inOrder(a, b) {
  const places = new Map(b.map((key, place) => [key, place]));
  const there = a.map((key) => places.get(key) ?? -1);
  // The longest increasing subsequence of the places: which item ends the best one of each length.
  /** @type {number[]} */
  const ends = [];
  const before = new Int32Array(a.length).fill(-1);
  there.forEach((place, index) => {
    if (place < 0) return;
    let [low, high] = [0, ends.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (there[ends[middle]] < place) low = middle + 1;
      else high = middle;
    }
    if (low > 0) before[index] = ends[low - 1];
    ends[low] = index;
  });
  const pairs = [];
  for (let at = ends.at(-1) ?? -1; at >= 0; at = before[at]) pairs.push([at, there[at]]);
  return pairs.reverse();
}
