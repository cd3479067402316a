// Dialogs: the browser's own, so that focus and Escape are right.

import { h } from "../dom.js";

/**
 * Opens a dialog; resolves with its return value once it is closed, "" if it was dismissed. A button of `footer` closes it
 * with `dialog.close(value)`; by default there is one to close it.
 * @param {string} title
 * @param {(dialog: HTMLDialogElement) => {content: Children, footer?: Children}} fill
 * @param {{wide?: boolean}} [options]
 * @returns {Promise<string>}
 */
export function dialog(title, fill, options = {}) {
	const heading = h("h2", { id: "dialog-title" }, title);
	const element = h("dialog", { class: options.wide ? "wide" : "", "aria-labelledby": "dialog-title" });
	const close = h("button", { class: "button", autofocus: true, onclick: () => element.close("") }, "Close");
	const { content, footer } = fill(element);
	element.append(h("div", { class: "sheet" }, h("header", null, heading), h("div", { class: "content" }, content), h("footer", null, footer ?? close)));
	// A click on what is behind dismisses it.
	element.addEventListener("click", (event) => {
		if (event.target === element) element.close("");
	});
	const before = document.activeElement;
	document.body.append(element);
	element.showModal();
	return new Promise((done) => {
		element.addEventListener("close", () => {
			element.remove();
			if (before instanceof HTMLElement && before.isConnected) before.focus();
			done(element.returnValue);
		});
	});
}

/**
 * Asks before something is done. With `typed`, that text must be typed first.
 * @param {{title: string, text: Children, action: string, danger?: boolean, typed?: string}} ask
 * @returns {Promise<boolean>}
 */
export async function confirm({ title, text, action, danger, typed }) {
	const answer = await dialog(title, (element) => {
		const go = h("button", { class: `button primary${danger ? " danger" : ""}`, disabled: typed !== undefined, onclick: () => element.close("yes") }, action);
		const cancel = h("button", { class: "button", onclick: () => element.close("") }, "Cancel");
		const content = [h("p", null, text)];
		if (typed !== undefined) {
			const input = h("input", { class: "field", id: "dialog-typed", type: "text", autocomplete: "off", spellcheck: "false" });
			input.addEventListener("input", () => (go.disabled = input.value !== typed));
			input.addEventListener("keydown", (event) => {
				if (event.key !== "Enter" || go.disabled) return;
				// The key must not press what gets the focus back.
				event.preventDefault();
				element.close("yes");
			});
			content.push(h("p", null, h("label", { class: "label", for: "dialog-typed" }, "Type ", h("bdi", { class: "mono rec" }, typed), " to confirm"), input));
		}
		return { content, footer: [cancel, go] };
	});
	return answer === "yes";
}

/**
 * Asks for a line of text; `null` if dismissed. `check` returns what is wrong with a text, or "".
 * @param {{title: string, label: string, value?: string, action: string, hint?: string, check?: (text: string) => string}} ask
 * @returns {Promise<string | null>}
 */
export async function prompt({ title, label, value, action, hint, check }) {
	const input = h("input", { class: "field", id: "dialog-input", type: "text", autocomplete: "off", spellcheck: "false", value: value ?? "" });
	const fault = h("p", { class: "fault", role: "alert" });
	const answer = await dialog(title, (element) => {
		const submit = () => {
			fault.textContent = check?.(input.value) ?? "";
			if (!fault.textContent) element.close("yes");
		};
		input.addEventListener("keydown", (event) => {
			if (event.key !== "Enter" || event.isComposing) return;
			event.preventDefault();
			submit();
		});
		const cancel = h("button", { class: "button", onclick: () => element.close("") }, "Cancel");
		const go = h("button", { class: "button primary", onclick: submit }, action);
		return { content: h("div", null, h("label", { class: "label", for: "dialog-input" }, label), input, hint && h("p", { class: "hint" }, hint), fault), footer: [cancel, go] };
	});
	return answer === "yes" ? input.value : null;
}
