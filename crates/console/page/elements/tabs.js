// Tabs (WAI-ARIA), with one panel that shows what is selected.

import { h } from "../dom.js";

/** @param {string} label @param {(name: string) => void} onSelect a person chose a tab @param {string} [look] */
export function tabs(label, onSelect, look = "") {
	const own = `tabs-${label.toLowerCase()}`;
	const element = h("div", { class: `tabs ${look}`, role: "tablist", "aria-label": label });
	const panel = h("div", { class: "fills", role: "tabpanel", id: own });
	let selected = "";
	/** @type {Map<string, HTMLButtonElement>} */
	const buttons = new Map();

	const select = (name = "") => {
		selected = name;
		if (buttons.size > 0 && !buttons.has(name)) [selected] = buttons.keys();
		for (const [other, button] of buttons) {
			button.setAttribute("aria-selected", `${other === selected}`);
			button.tabIndex = other === selected ? 0 : -1;
		}
		buttons.get(selected)?.scrollIntoView({ block: "nearest", inline: "nearest" });
		panel.setAttribute("aria-labelledby", `${own}-${selected}`);
	};
	const choose = (name = "") => {
		select(name);
		onSelect(selected);
	};
	const move = (by = 1) => {
		const names = [...buttons.keys()];
		choose(names[(names.indexOf(selected) + by + names.length) % names.length]);
	};
	element.addEventListener("keydown", (event) => {
		const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
		if (!by) return;
		event.preventDefault();
		event.stopPropagation();
		move(by);
		buttons.get(selected)?.focus();
	});

	return {
		element,
		panel,
		select,
		move,
		get selected() {
			return selected;
		},
		/** Sets the tabs: name, text, what is counted there, and its look. @param {[string, string, string?, string?][]} list */
		set(list) {
			const hadFocus = element.contains(document.activeElement);
			element.replaceChildren();
			buttons.clear();
			for (const [name, text, badge, look] of list) {
				const button = h("button", { role: "tab", id: `${own}-${name}`, "aria-controls": own, onclick: () => choose(name) }, text, badge && [" ", h("span", { class: `badge ${look ?? ""}` }, badge)]);
				buttons.set(name, button);
				element.append(button);
			}
			select(selected);
			if (hadFocus) buttons.get(selected)?.focus();
		},
	};
}
