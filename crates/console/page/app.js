// Starts the page: the bar, the notices, and the view of the address.

import { Api } from "./api.js";
import { fill, h, said } from "./dom.js";
import { bar } from "./elements/bar.js";
import { notice } from "./elements/notice.js";
import { Keys } from "./keys.js";
import { go, route } from "./router.js";
import { Settings } from "./settings.js";

/** @typedef {"info" | "good" | "warn" | "bad"} Level */
/**
 * What every view is given.
 * @typedef {{
 *   api: Api, go: (hash: string, options?: {replace?: boolean}) => void, notify: (level: Level, text: string) => void,
 *   keys: Keys, settings: Settings
 * }} Context
 */
/** @typedef {{view: (route: import("./router.js").Route, ctx: Context) => import("./router.js").View | Promise<import("./router.js").View>}} ViewModule */

/** The views by the first part of their address. Each is loaded when it is first opened. */
const VIEWS = /** @type {Record<string, () => Promise<ViewModule>>} */ ({
	traffic: () => import("./views/traffic.js"),
	exchange: () => import("./views/exchange.js"),
	compare: () => import("./views/compare.js"),
	limits: () => import("./views/limits.js"),
	run: () => import("./views/run.js"),
	sessions: () => import("./views/sessions.js"),
});

const settings = new Settings();
const api = new Api();
const keys = new Keys();
const notices = notice();
/** @type {Context} */
const ctx = { api, go, notify: notices.notify, keys, settings };

/** Opens the view of a route; where that fails, a view that says so. */
async function open(/** @type {import("./router.js").Route} */ route) {
	if (!api.hasToken) return (await import("./views/token.js")).view(route, ctx, () => shown.reload());
	try {
		const load = VIEWS[route.path[0] ?? "traffic"];
		if (!load) return failed("There is nothing at this address.", "Its first part names no view.");
		return await (await load()).view(route, ctx);
	} catch (error) {
		console.error(error);
		return failed("This view can't be shown.", said(error));
	}
}

/** @param {string} title @param {string} why @returns {import("./router.js").View} */
function failed(title, why) {
	const again = h("button", { class: "button", onclick: () => shown.reload() }, "Try again");
	const element = h("div", { class: "blank view" }, h("h2", null, title), h("p", null, why), h("p", null, again, " ", h("a", { class: "button", href: "#/traffic" }, "Traffic")));
	return { element, title: "nightaudit" };
}

const main = h("main", { id: "main", tabindex: -1 });
const top = bar(ctx, notices);
fill(
	document.body,
	h("a", { class: "skip button", href: "#main", onclick: (/** @type {Event} */ event) => { event.preventDefault(); main.focus(); } }, "Skip to the content"),
	top.element,
	notices.element,
	main,
	notices.toasts,
);

api.whenUnauthorized(() => {
	if (!api.hasToken) return;
	api.forget();
	shown.reload();
});

const shown = route(main, open, (route, view) => {
	document.title = view.title === "nightaudit" ? view.title : `${view.title} · nightaudit`;
	top.at(api.hasToken ? (route.path[0] ?? "traffic") : "");
});
