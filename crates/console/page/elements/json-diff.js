// What differs between two JSON documents, as lines to show side by side.

/** Deeper values are compared as they are written. */
const MAX_DEPTH = 500;

/**
 * Names of objects may be in any order; items of arrays are matched by their `Id` if all have one, else by what they are.
 * @param {Doc} left @param {Doc} right
 */
export function diffJson(left, right) {
	/** @type {DiffLine[]} */
	const lines = [];
	const pair = (a = 0, b = 0, depth = 0) => {
		const isKind = left.kind(a) === right.kind(b);
		const isSame = isKind && left.scalar(a) === right.scalar(b);
		if (isSame || !isKind || !left.isContainer(a) || depth >= MAX_DEPTH) {
			lines.push({ kind: isSame ? "same" : "changed", left: a, right: b, depth });
			return;
		}
		const at = lines.push({ kind: "inside", left: a, right: b, depth }) - 1;
		(left.kind(a) === "{" ? objects : arrays)(a, b, depth + 1);
		let next = at + 1;
		while (lines[next]?.kind === "same") next++;
		// Written differently, but the same.
		if (next === lines.length) lines.splice(at, Infinity, { kind: "same", left: a, right: b, depth });
	};
	const removed = (a = 0, depth = 0) => lines.push({ kind: "removed", left: a, right: -1, depth });
	const added = (b = 0, depth = 0) => lines.push({ kind: "added", left: -1, right: b, depth });

	const objects = (a = 0, b = 0, depth = 0) => {
		const others = numbered([...right.children(b)], (child) => right.name(child));
		for (const [name, child] of numbered([...left.children(a)], (child) => left.name(child))) {
			const other = others.get(name);
			if (other === undefined) removed(child, depth);
			else pair(child, other, depth);
			others.delete(name);
		}
		for (const child of others.values()) added(child, depth);
	};

	const arrays = (a = 0, b = 0, depth = 0) => {
		const [mine, theirs] = [[...left.children(a)], [...right.children(b)]];
		const byId = mine.every((item) => idOf(left, item) !== null) && theirs.every((item) => idOf(right, item) !== null);
		/** @param {Doc} doc @param {number[]} items */
		const keys = (doc, items) => [...numbered(items, (item) => (byId ? idOf(doc, item) : doc.raw(item))).keys()];
		let [i, j] = [0, 0];
		const upTo = (toI = 0, toJ = 0) => {
			// Between two matches by position, unless each has an id of its own.
			if (!byId) while (i < toI && j < toJ) pair(mine[i++], theirs[j++], depth);
			while (i < toI) removed(mine[i++], depth);
			while (j < toJ) added(theirs[j++], depth);
		};
		for (const [x, y] of inOrder(keys(left, mine), keys(right, theirs))) {
			upTo(x, y);
			pair(mine[i++], theirs[j++], depth);
		}
		upTo(mine.length, theirs.length);
	};

	pair();
	return lines;
}

/** Values by their key; what comes again is numbered. @param {number[]} values @param {(value: number) => string | null} key */
function numbered(values, key) {
	const times = new Map();
	return new Map(
		values.map((value) => {
			const own = key(value);
			times.set(own, (times.get(own) ?? 0) + 1);
			return [`${times.get(own)} ${own}`, value];
		}),
	);
}

/** An object's `Id`, if it is a text. @param {Doc} doc @param {number} item */
function idOf(doc, item) {
	if (doc.kind(item) === "{") for (const child of doc.children(item)) if (doc.kind(child) === '"' && doc.name(child) === "Id") return doc.scalar(child);
	return null;
}

/** The longest common subsequence of two lists without repetitions, as pairs of positions. @param {string[]} a @param {string[]} b */
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
