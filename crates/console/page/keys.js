// Key bindings, those of `top`. Each view adds a layer; the topmost one that knows a key handles it.

/**
 * `keys`: names of `KeyboardEvent.key` (`j`, `J`, `ArrowDown`, `Enter`), `Control+` before those with Control.
 * @typedef {{keys: string[], help: string, label?: string, run: (event: KeyboardEvent) => void | boolean}} Binding
 */
/** @typedef {{title: string, bindings: Binding[]}} Layer */

const LABELS = /** @type {Record<string, string>} */ ({
	ArrowDown: "↓", ArrowUp: "↑", ArrowLeft: "←", ArrowRight: "→", PageDown: "PgDn", PageUp: "PgUp", " ": "space", Escape: "esc", Enter: "enter", Tab: "tab",
});

export class Keys {
	/** @type {Layer[]} */
	#layers = [];

	constructor() {
		document.addEventListener("keydown", (event) => this.#press(event));
	}

	/**
	 * Adds bindings on top of the others; returns the function that removes them. A binding's `run` that returns `false` passes
	 * the key on to the layers below.
	 * @param {string} title
	 * @param {Binding[]} bindings
	 */
	layer(title, bindings) {
		const layer = { title, bindings };
		this.#layers.push(layer);
		return () => {
			this.#layers = this.#layers.filter((other) => other !== layer);
		};
	}

	/** All bindings in force, the topmost layer first. */
	help() {
		return this.#layers.toReversed().map(({ title, bindings }) => ({
			title,
			lines: bindings.filter(({ help }) => help).map(({ keys, label, help }) => ({ keys: label ?? keys.map(named).join(" "), help })),
		}));
	}

	/** @param {KeyboardEvent} event */
	#press(event) {
		if (event.defaultPrevented || event.altKey || event.metaKey || event.isComposing) return;
		if (document.querySelector("dialog[open]") || isText(event.target)) return;
		// Enter and space belong to what has the focus.
		const control = event.target instanceof Element && event.target.closest("button, a[href], summary, select, input, [role=tab], [role=treeitem]");
		if (control && (event.key === "Enter" || event.key === " ")) return;
		const key = (event.ctrlKey ? "Control+" : "") + event.key;
		for (const layer of this.#layers.toReversed()) {
			for (const binding of layer.bindings) {
				if (binding.keys.includes(key) && binding.run(event) !== false) {
					event.preventDefault();
					return;
				}
			}
		}
	}
}

/** @param {string} key */
const named = (key) => LABELS[key] ?? key.replace("Control+", "ctrl-");

/** Whether keys are text where the focus is. @param {EventTarget | null} target */
function isText(target) {
	if (!(target instanceof HTMLElement)) return false;
	if (target instanceof HTMLInputElement) return !["checkbox", "radio", "button", "submit", "range", "file"].includes(target.type);
	return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement || target.isContentEditable;
}
