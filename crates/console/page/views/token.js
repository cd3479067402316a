// What is shown without the token, or with a wrong one.

import { h, said } from "../dom.js";

/** @param {import("../router.js").Route} _route @param {import("../app.js").Context} ctx @param {() => void} entered @returns {import("../router.js").View} */
export function view(_route, ctx, entered) {
	const input = h("input", { class: "field mono", id: "token", type: "password", autocomplete: "off", spellcheck: "false", placeholder: "http://127.0.0.1:8081/#token=…" });
	const fault = h("p", { class: "fault", role: "alert" });
	const button = h("button", { class: "button primary", type: "submit" }, "Open");
	const enter = async (/** @type {Event} */ event) => {
		event.preventDefault();
		fault.textContent = "";
		if (!input.value.trim()) {
			fault.textContent = "Paste the address or the token first.";
			return;
		}
		button.disabled = true;
		try {
			if (await ctx.api.tryToken(input.value)) {
				entered();
				return;
			}
			fault.textContent = "This is not the token of the `serve` at this address. Each data folder has its own.";
			input.select();
		} catch (error) {
			fault.textContent = said(error);
		} finally {
			button.disabled = false;
		}
	};
	const element = h("div", { class: "page token-view" },
		h("h1", null, "This page needs its token"),
		h("p", { class: "muted" }, "What is recorded here is for those who can read the data folder. The token is in the address that opens the page; your browser keeps it."),
		h("form", { class: "card", onsubmit: enter }, h("div", { class: "body" },
			h("label", { class: "label", for: "token" }, "Address or token"),
			h("div", { class: "token-row" }, input, button),
			fault)),
		h("h2", null, "Where to find it"),
		h("ul", { class: "ways" },
			h("li", null, h("code", null, "nightaudit open"), h("span", null, "opens this page with its token")),
			h("li", null, h("code", null, "nightaudit serve"), h("span", null, "prints the whole address when it starts, after ", h("code", null, "console"))),
			h("li", null, h("code", null, "console-token"), h("span", null, "is the file in the data folder that holds it"))));
	setTimeout(() => input.focus());
	return { element, title: "Token" };
}
