// The clipboard, and the menu of what an exchange can be copied as.

import { h, said } from "../dom.js";
import { address } from "../router.js";
import { dialog } from "./dialog.js";
import { iconButton } from "./find-bar.js";
import { icon } from "./icon.js";

/** How a request can be copied: `as` of the API, and its name. */
const CODE = [["curl", "cURL"], ["httpie", "HTTPie"], ["fetch", "fetch"], ["csharp", "C# HttpClient"], ["python", "Python requests"]];

/** @param {string | Promise<string>} text @param {Context} ctx @param {string} what what the notice says was copied */
export async function copyText(text, ctx, what) {
	try {
		// A browser may only write while it remembers the click, so it is given the promise.
		const blob = Promise.resolve(text).then((text) => new Blob([text], { type: "text/plain" }));
		await navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
		ctx.notify("good", `${what} copied.`);
	} catch {
		try {
			const field = h("textarea", { class: "field", rows: 12, readonly: true, "aria-label": what, value: await text });
			await dialog("Copy by hand", () => ({ content: [h("p", null, "The browser allows no access to its clipboard here."), field] }));
		} catch (error) {
			ctx.notify("bad", said(error));
		}
	}
}

/** The menu of an exchange. @param {() => string} id @param {Context} ctx */
export function copyMenu(id, ctx) {
	const summary = h("summary", { class: "button small", title: "Copy the request as code, or its link" }, icon("copy"), "Copy", icon("down"));
	/** @param {string} text @param {() => void} run */
	const item = (text, run) => {
		const chosen = () => {
			menu.open = false;
			summary.focus();
			run();
		};
		return h("button", { onclick: chosen }, text);
	};
	const menu = h(
		"details",
		{ class: "menu" },
		summary,
		h(
			"div",
			{ class: "menu-list" },
			CODE.map(([as, name]) => item(`as ${name}`, () => void copyText(ctx.api.text(`/api/v1/exchanges/${id()}/code?as=${as}`), ctx, `The request as ${name}`))),
			item("Link", () => void copyText(location.origin + location.pathname + address(["exchange", id()]), ctx, "The link")),
			item("Id", () => void copyText(id(), ctx, "The id")),
		),
	);
	menu.addEventListener("keydown", (event) => {
		if (event.key !== "Escape" || !menu.open) return;
		event.stopPropagation();
		menu.open = false;
		summary.focus();
	});
	menu.addEventListener("focusout", (event) => {
		if (!menu.contains(/** @type {Node | null} */ (event.relatedTarget))) menu.open = false;
	});
	return menu;
}

/** @param {string} text @param {Context} ctx @param {string} what */
export function copyButton(text, ctx, what) {
	const button = iconButton("copy", `Copy ${what[0].toLowerCase()}${what.slice(1)}`, () => void copyText(text, ctx, what));
	button.classList.add("copy");
	return button;
}
