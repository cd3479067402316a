// A field to search with, and where one is among the matches.

import { afterPause, h } from "../dom.js";
import { count } from "../format.js";
import { icon } from "./icon.js";

/** @param {string} name @param {string} title @param {() => void} onclick */
export function iconButton(name, title, onclick) {
	return h("button", { class: "button quiet small icon", title, "aria-label": title, onclick }, icon(name));
}

/** @param {string} text @param {string} title @param {() => void} onclick */
export function textButton(text, title, onclick) {
	return h("button", { class: "button quiet small", title, onclick }, text);
}

/** @param {string} label @param {(text: string) => void} onFind @param {(forwards: boolean) => void} onStep @param {Children} [tools] */
export function findBar(label, onFind, onStep, tools) {
	const said = h("span", { class: "muted nowrap", role: "status" });
	const soon = afterPause(150, () => onFind(input.value));
	const input = h("input", { class: "field", type: "search", placeholder: "Search", "aria-label": label, autocomplete: "off", spellcheck: "false", oninput: soon });
	let sought = "";
	input.addEventListener("keydown", (event) => {
		if (event.key === "Enter" && !event.isComposing) {
			soon.cancel();
			if (sought === input.value) onStep(!event.shiftKey);
			else onFind(input.value);
		} else if (event.key === "Escape") {
			event.stopPropagation();
			if (input.value) onFind((input.value = ""));
			else input.blur();
		}
	});
	const steps = h("span", { class: "nowrap", hidden: true }, iconButton("up", "Previous match (N)", () => onStep(false)), iconButton("down", "Next match (n)", () => onStep(true)));
	return {
		element: h("div", { class: "find-bar" }, h("span", { class: "find-field" }, icon("search"), input), said, steps, tools),
		focus: () => input.select(),
		/** Says which match is shown, from 0. @param {number} at @param {number} total */
		say(at, total) {
			sought = input.value;
			said.textContent = !sought ? "" : total === 0 ? "no match" : `${count(at + 1)} of ${count(total)}`;
			steps.hidden = total === 0;
		},
	};
}
