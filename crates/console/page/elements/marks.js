// Exchanges that a person marked, kept in this browser.

const KEY = "nightaudit.marks";

/** The oldest mark goes when there are more. */
const MOST = 200;

class Marks {
	/** @type {string[]} */
	#ids = read();
	/** @type {Set<() => void>} */
	#listeners = new Set();

	constructor() {
		globalThis.addEventListener?.("storage", (event) => {
			if (event.key !== KEY) return;
			this.#ids = read();
			this.#tell();
		});
	}

	/** All, in the order in which they were marked. */
	get all() {
		return [...this.#ids];
	}

	/** @param {string} id */
	has(id) {
		return this.#ids.includes(id);
	}

	/** Marks or unmarks; returns whether it is marked now. @param {string} id */
	toggle(id) {
		const has = this.has(id);
		this.#set(has ? this.#ids.filter((other) => other !== id) : [...this.#ids, id].slice(-MOST));
		return !has;
	}

	clear() {
		this.#set([]);
	}

	/** Calls `listener` after each change; returns the function that ends that. @param {() => void} listener */
	subscribe(listener) {
		this.#listeners.add(listener);
		return () => void this.#listeners.delete(listener);
	}

	/** @param {string[]} ids */
	#set(ids) {
		this.#ids = ids;
		try {
			localStorage.setItem(KEY, JSON.stringify(ids));
		} catch {
			// Storage is blocked: the marks last as long as the page.
		}
		this.#tell();
	}

	#tell() {
		for (const listener of [...this.#listeners]) listener();
	}
}

function read() {
	try {
		const ids = JSON.parse(localStorage.getItem(KEY) ?? "[]");
		return Array.isArray(ids) ? ids.filter((id) => typeof id === "string").slice(-MOST) : [];
	} catch {
		return [];
	}
}

export const marks = new Marks();
