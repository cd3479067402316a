// The bar that is always visible: the views, the run in one line, and whether the log is live.

import { fill, h, svg, visible } from "../dom.js";
import { count, counted } from "../format.js";
import { address } from "../router.js";
import { dialog } from "./dialog.js";
import { icon } from "./icon.js";

/** @typedef {import("../app.js").Context} Context */

/** Milliseconds between two looks at the run and the state. */
const EVERY = 4000;

const THEMES = ["system", "light", "dark"];

/** @param {Context} ctx @param {ReturnType<typeof import("./notice.js").notice>} notices */
export function bar(ctx, notices) {
	const links = [
		{ name: "traffic", text: "Traffic", also: ["exchange", "compare"] },
		{ name: "limits", text: "Limits", also: [] },
		{ name: "run", text: "Run", also: [] },
		{ name: "sessions", text: "Sessions", also: [] },
	].map(({ name, text, also }) => ({
		name,
		also,
		link: h("a", { href: `#/${name}`, title: name === "run" ? "Certification run" : null }, icon(name), text),
	}));
	const run = h("a", { class: "runline", href: "#/run", hidden: true });
	const dot = h("span", { class: "dot" });
	const words = h("span", { class: "words" });
	const live = h("span", { class: "live", role: "status" }, dot, words);
	const theme = h("button", { class: "button quiet icon", onclick: () => change() });
	const help = h("button", { class: "button quiet icon", "aria-label": "Keys", title: "Keys (?)", onclick: () => void showKeys() }, icon("help"));
	const element = h(
		"header",
		{ class: "bar" },
		h("a", { class: "brand", href: "#/traffic" }, logo(), "nightaudit"),
		h("nav", { "aria-label": "Views" }, links.map(({ link }) => link)),
		run,
		h("div", { class: "tools" }, live, theme, help),
	);

	const paint = () => {
		const chosen = ctx.settings.get("theme", "system");
		fill(theme, icon(chosen));
		const say = `Colours: ${chosen === "system" ? "as the system" : chosen}`;
		theme.setAttribute("aria-label", say);
		theme.title = say;
		if (chosen === "system") delete document.documentElement.dataset.theme;
		else document.documentElement.dataset.theme = chosen;
	};
	const change = () => {
		ctx.settings.set("theme", THEMES[(THEMES.indexOf(ctx.settings.get("theme", "system")) + 1) % THEMES.length]);
		paint();
	};
	paint();

	async function showKeys() {
		await dialog(
			"Keys",
			() => ({
				content: ctx.keys.help().filter(({ lines }) => lines.length).map(({ title, lines }) =>
					h("section", { class: "keys" }, h("h3", null, title), h("dl", { class: "keylist" }, lines.flatMap(({ keys, help }) => [
						h("dt", null, keys.split(" ").map((key) => h("kbd", null, key))),
						h("dd", null, help),
					]))),
				),
			}),
			{ wide: true },
		);
	}

	ctx.keys.layer("Everywhere", [
		...links.map(({ name, link }, place) => ({ keys: [String(place + 1)], help: `${link.title || link.textContent}`, run: () => ctx.go(`#/${name}`) })),
		{ keys: ["t"], help: "colours: system, light, dark", run: change },
		{ keys: ["?"], help: "this help", run: () => void showKeys() },
	]);

	/** @param {"good" | "warn" | "bad" | ""} level @param {string} text */
	const state = (level, text) => {
		dot.className = `dot ${level}`;
		if (words.textContent !== text) words.textContent = text;
		live.title = text;
	};

	const look = async () => {
		if (!ctx.api.hasToken) {
			run.hidden = true;
			return;
		}
		try {
			const status = await ctx.api.get("/api/v1/status");
			notices.clear("gone");
			tell(status, notices);
			document.documentElement.classList.toggle("read-only", status.readOnly);
			document.documentElement.classList.toggle("no-proxy", !status.proxy);
			if (status.recording?.failing) state("bad", "not recording");
			else if (status.readOnly || !status.proxy) state("", status.readOnly ? "read only" : "log only");
			else state("good", "recording");
			if (status.session) say(run, await ctx.api.get("/api/v1/sessions/current/run"));
			run.hidden = !status.session;
		} catch (error) {
			if (!isGone(error)) {
				// Its view says why: a declaration that has become invalid, say.
				run.hidden = true;
				return;
			}
			state("warn", "serve is not running");
			notices.show("gone", "warn", "`nightaudit serve` can't be reached. What is here stays; it resumes when `serve` is back.");
		}
	};
	let timer = 0;
	const again = async () => {
		clearTimeout(timer);
		if (!document.hidden) await look();
		clearTimeout(timer);
		timer = window.setTimeout(again, EVERY);
	};
	document.addEventListener("visibilitychange", () => void again());
	void again();

	return {
		element,
		/** Says which view is shown; "" for none. @param {string} name */
		at(name) {
			element.classList.toggle("closed", name === "");
			for (const { name: own, also, link } of links) {
				if (own === name || also.includes(name)) link.setAttribute("aria-current", "page");
				else link.removeAttribute("aria-current");
			}
			void again();
		},
	};
}

/** @param {unknown} error */
const isGone = (error) => error instanceof Error && "status" in error && error.status === 0;

/** The run in one line. @param {HTMLAnchorElement} line @param {any} run */
function say(line, run) {
	line.href = address(["run", run.session]);
	line.title = run.headline ? `${visible(run.name)}: ${run.headline}` : visible(run.name);
	const name = h("bdi", { class: "cutoff strong" }, visible(run.name, 60));
	if (run.building) {
		fill(line, name, h("span", { class: "muted" }, `reading ${count(run.building.read)} of ${count(run.building.of)}`));
		return;
	}
	/** @param {string} level @param {number} number @param {string} noun */
	const figure = (level, number, noun) => h("span", { class: number ? level : "muted" }, h("b", null, count(number)), ` ${noun}${number === 1 ? "" : "s"}`);
	fill(
		line,
		h("span", { class: `tag ${run.errors ? "bad" : run.warnings ? "warn" : /^Ready/.test(run.headline) ? "good" : ""}` }, verdict(run.headline)),
		name,
		h("span", { class: "muted" }, h("b", null, hours(run.hours)), run.hoursNeeded === null ? " h" : ` of ${run.hoursNeeded} h`),
		figure("bad", run.errors, "error"),
		figure("warn", run.warnings, "warning"),
		run.declared === 0 ? h("span", { class: "muted long" }, "no operations declared") : h("span", { class: "muted" }, h("b", null, count(run.succeeded)), ` of ${count(run.declared)} `, h("span", { class: "long" }, "declared operations"), h("span", { class: "short" }, "ops")),
	);
}

/** The headline's first words: the verdict. @param {string} headline */
const verdict = (headline) => visible(headline.split(/[:.,]/)[0], 40);

/** @param {number} hours */
const hours = (hours) => String(hours >= 10 ? Math.floor(hours) : hours);

/** Says what is wrong. @param {any} status @param {ReturnType<typeof import("./notice.js").notice>} notices */
function tell({ recording, archive, limitStore, upstream }, notices) {
	/** @param {string} name @param {"warn" | "bad"} level @param {string | false | null | undefined} text */
	const set = (name, level, text) => (text ? notices.show(name, level, text) : notices.clear(name));
	set("failing", "bad", recording?.failing && `The log can't be written: ${visible(recording.failing)}`);
	set("unrecorded", "bad", recording?.unrecorded > 0 && `Not recorded, and lost: ${counted(recording.unrecorded, "exchange")}.`);
	set("missing", "bad", recording?.missing > 0 && `Missing from the log: ${counted(recording.missing, "exchange")}. \`nightaudit log check\` says which.`);
	set("archive", "warn", archive?.failing && visible(archive.failing));
	set("limits", "bad", limitStore?.notice && visible(limitStore.notice));
	const why = upstream?.lastError ? `: ${visible(upstream.lastError)}` : ".";
	set("upstream", "warn", upstream?.reachable === false && `The upstream can't be reached${why}`);
}

function logo() {
	return svg("svg", { viewBox: "0 0 20 20", "aria-hidden": "true" },
		svg("path", { d: "M16.800 12.300A7.300 7.300 0 1 1 7.700 3.200a5.900 5.900 0 0 0 9.100 9.100z", fill: "var(--accent)" }),
		svg("path", { d: "M11 7.500h5M11 4.800h7", stroke: "currentColor", "stroke-width": "1.6", "stroke-linecap": "round" }));
}
