// What a person chose, kept in this browser.

const PREFIX = "nightaudit.";

export class Settings {
	/** @type {Map<string, string>} */
	#unsaved = new Map();

	/** @param {string} name @param {string} otherwise */
	get(name, otherwise) {
		try {
			return localStorage.getItem(PREFIX + name) ?? otherwise;
		} catch {
			return this.#unsaved.get(name) ?? otherwise;
		}
	}

	/** @param {string} name @param {string} value */
	set(name, value) {
		try {
			localStorage.setItem(PREFIX + name, value);
		} catch {
			this.#unsaved.set(name, value);
		}
	}
}
