// The sessions: start, continue, end, rename, annotate, delete, compare, export, and import by dropping a file.

import { fill, h, recorded, visible } from "../dom.js";
import { confirm, dialog, prompt } from "../elements/dialog.js";
import { differences } from "../elements/differences.js";
import { evidence } from "../elements/evidence.js";
import { comparison } from "../elements/findings.js";
import { blank, button, muted, refill, said, table, tag } from "../elements/parts.js";
import { count, counted, shortTime, size, span } from "../format.js";
import { poll } from "../poll.js";
import { address } from "../router.js";

const API = "/api/v1/sessions";

const at = (/** @type {Session} */ { id }, rest = "") => `${API}/${encodeURIComponent(id)}${rest}`;
/**
 * What was made of an imported file, and what of it was left out.
 * @param {any} told
 */
const imported = (told) => {
	const { tool, skipped, otherHosts, notHttp } = told.file;
	const left = [
		skipped && `${counted(skipped, "damaged entry", "damaged entries")} skipped`,
		otherHosts && `${counted(otherHosts, "request")} to other hosts or paths left out`,
		notHttp && `${counted(notHttp, "entry", "entries")} that are not HTTP left out`,
	].filter(Boolean);
	return `Imported ${described(told)}${tool ? `, recorded by ${visible(tool, 80)}` : ""}${left.length ? `; ${left.join(", ")}` : ""}`;
};
const described = (/** @type {Session} */ { name, exchanges, bytes }) => `session ${visible(name)} with ${counted(exchanges, "exchange")} (${size(bytes)})`;

/**
 * @param {Route} route
 * @param {Context} ctx
 * @returns {View}
 */
export function view(route, ctx) {
	const leaving = new AbortController();
	const { signal } = leaving;
	/** @type {Session[]} */
	let sessions = [];
	/** The sessions to compare, by id. @type {string[]} */
	let pair = [];
	let shown = "";
	const name = h("input", { class: "field", type: "text", "aria-label": "Name of the session", placeholder: "certification", autocomplete: "off", spellcheck: "false" });
	const start = h("form", { class: "row changes", onsubmit: (/** @type {Event} */ event) => {
		event.preventDefault();
		if (name.value.trim()) void begin(name.value).then(() => (name.value = ""));
		else name.focus();
	} }, name, h("button", { class: "button primary", type: "submit" }, "Start or continue"));
	const compared = h("div");
	const picked = h("div", { role: "status" });
	const list = h("section", { class: "card" });
	const input = h("input", { type: "file", id: "import-file", class: "hush", accept: ".ndjson,.jsonl,.har,.zhar,.json,.flow,.flows,.mitm,.gz", onchange: () => void take() });
	const state = h("p", { role: "status" });
	const drop = h("section", { class: "drop muted changes" }, input, h("p", null, h("label", { class: "button", for: input.id }, "Import a file"), " or drop it anywhere on this page: an NDJSON export, a HAR of another tool, or a flow file of mitmproxy"), state);

	const refresh = async () => {
		sessions = (await ctx.api.get(API, { signal })).sessions;
		paint();
	};
	/** Does something and says so. @param {() => Promise<string>} what */
	const act = async (what) => {
		try {
			ctx.notify("good", await what());
		} catch (error) {
			ctx.notify("bad", said(error));
		}
		await refresh().catch(() => {});
	};
	const begin = (/** @type {string} */ name) => act(async () => {
		const own = await ctx.api.send("POST", API, { name });
		return `Session ${visible(own.name)} is ${own.current ? "being recorded" : "open: `nightaudit serve --session` with its name records into it"}`;
	});
	const take = async (files = [...(input.files ?? [])]) => {
		for (const file of files) {
			state.textContent = `Importing ${visible(file.name, 80)} (${size(file.size)})…`;
			await act(async () => imported(await ctx.api.send("POST", `/api/v1/import?${new URLSearchParams({ file: file.name })}`, file, { signal, type: "application/octet-stream" })));
		}
		state.textContent = input.value = "";
	};

	const actions = /** @type {Record<string, (own: Session) => Promise<unknown>>} */ ({
		async rename(own) {
			const now = await prompt({ title: "Rename the session", label: "Name", value: own.name, action: "Rename", hint: "Exchanges recorded before keep the old name.", check: (text) => (text.trim() ? "" : "A session needs a name.") });
			if (now !== null && now !== own.name) await act(async () => `Renamed to ${visible((await ctx.api.send("PATCH", at(own), { name: now })).name)}`);
		},
		async note(own) {
			const note = await prompt({ title: "Note on the session", label: visible(own.name, 80), value: own.note ?? "", action: "Save", hint: "An empty one removes it." });
			if (note !== null && note !== (own.note ?? "")) await act(async () => ((await ctx.api.send("PATCH", at(own), { note })).note ? "The note is saved" : "The note is removed"));
		},
		continue: ({ name }) => begin(name),
		async end(own) {
			if (await confirm({ title: "End the session", text: ["Session ", recorded(own.name), " can't be continued then."], action: "End" })) await act(async () => `Ended ${described(await ctx.api.send("POST", at(own, "/end")))}`);
		},
		async export({ id, name }) {
			const offer = evidence(id, ctx);
			await dialog(`Export ${visible(name, 60)}`, () => ({ content: offer.element }));
			offer.leave();
		},
		async delete(own) {
			// A name that can't be typed: the id.
			const typed = visible(own.name, 1000) === own.name ? own.name : own.id;
			if (await confirm({ title: "Delete the session", text: `Permanently deletes ${described(own)}.`, action: "Delete", danger: true, typed })) await act(async () => `Deleted ${described(await ctx.api.send("DELETE", at(own)))}`);
		},
	});

	/** @param {Session} own */
	const row = (own) => {
		const short = visible(own.name, 60);
		const key = (/** @type {string} */ what) => ({ dataset: { key: `${what} ${own.id}` } });
		const mark = h("input", { type: "checkbox", "aria-label": `Compare ${short}`, ...key("pick"), onchange: () => {
			pair = mark.checked ? [...pair, own.id].slice(-2) : pair.filter((id) => id !== own.id);
			paint();
		} });
		mark.checked = pair.includes(own.id);
		const offered = ["rename", "note", "export", ...(own.open ? (own.current ? ["end"] : ["continue", "end"]) : []), "delete"];
		const more = () => dialog(visible(own.name, 80), (box) => ({ content: offered.map((action) => button(action[0].toUpperCase() + action.slice(1), () => box.close(action), action === "delete" ? "danger" : "", { dataset: { action } })) })).then((action) => actions[action]?.(own));
		return [
			mark,
			[h("a", { class: "strong", href: address(["run", own.id]), title: own.id }, recorded(own.name, { longest: 120 })), own.note && h("p", { class: "muted note" }, recorded(own.note, { longest: 300 }))],
			states(own).map(([level, text]) => [tag(level, text), " "]),
			count(own.exchanges), shortTime(own.started), span(own.first && own.last ? (new Date(own.last).getTime() - new Date(own.first).getTime()) / 1000 : 0), size(own.bytes),
			[h("a", { class: "button small", href: address(["run", own.id]) }, "Run"), h("a", { class: "button small", href: address(["traffic"], { session: own.id }) }, "Traffic"), button("More", more, "small changes", { "aria-label": `More for ${short}`, ...key("more") }), button("Export", () => actions.export(own), "small reads", { "aria-label": `Export ${short}`, ...key("export") })],
		];
	};
	const named = (/** @type {string} */ id) => sessions.find((own) => own.id === id)?.name ?? id;
	const paint = () => {
		const text = JSON.stringify([sessions, pair]);
		if (text === shown) return;
		shown = text;
		// As they were started, the earlier first.
		const ordered = sessions.filter(({ id }) => pair.includes(id)).toSorted((a, b) => a.started.localeCompare(b.started)).map(({ id }) => id);
		refill(picked, ordered.length === 1 && muted("Choose a second session to compare it with."),
			ordered.length === 2 && h("a", { class: "button", href: address(["sessions"], { compare: ordered.join() }) }, "Compare ", recorded(named(ordered[1]), { longest: 40 }), " with ", recorded(named(ordered[0]), { longest: 40 })));
		refill(list, sessions.length ? table(["Compare", "Session", "State", ">Exchanges", "Started", ">Span", ">Size", "Actions"], sessions.map(row)) : blank("No sessions yet", [h("code", null, "nightaudit serve"), " records one."]));
	};
	const update = async (/** @type {Route} */ { query }) => {
		const [a, b] = query.get("compare")?.split(",") ?? [];
		if (!b) return fill(compared);
		try {
			const asked = `${new URLSearchParams({ a, b })}`;
			/** @param {string} path */
			const read = async (path) => {
				for (;;) {
					const found = await ctx.api.get(`${path}?${asked}`, { signal });
					// 202 while a session is first read.
					if (!found.building) return found;
					fill(compared, muted("Reading the sessions…"));
				}
			};
			const reviews = await read("/api/v1/compare");
			const traffic = await read("/api/v1/differences");
			const download = () => ctx.api.download(`/api/v1/differences?${asked}&format=html`).catch((error) => ctx.notify("bad", said(error)));
			fill(compared, comparison(reviews.comparison, reviews.a.name, reviews.b.name), differences(traffic.differences, b, download));
		} catch (error) {
			if (!signal.aborted) fill(compared, h("p", { class: "fault" }, said(error)));
		}
	};

	for (const kind of ["dragover", "dragleave", "drop"]) {
		document.addEventListener(kind, (event) => {
			const { dataTransfer, relatedTarget } = /** @type {DragEvent} */ (event);
			if (!dataTransfer?.types.includes("Files")) return;
			event.preventDefault();
			drop.classList.toggle("over", kind === "dragover" || (kind === "dragleave" && relatedTarget !== null));
			if (kind === "drop") void take([...dataTransfer.files]);
		}, { signal });
	}
	void poll(2000, signal, refresh);
	void update(route);
	return {
		element: h("div", { class: "page sessions stack" }, h("div", { class: "heading" }, h("h1", null, "Sessions"), h("span", { class: "spacer" }), start), compared, picked, list, drop),
		title: "Sessions",
		update: (now) => void update(now),
		leave: () => leaving.abort(),
	};
}

/**
 * The states of a session, in the words of `nightaudit sessions`.
 * @param {Session} own
 * @returns {[string, string][]}
 */
function states({ importing, current, open, imported, missing, incomplete }) {
	if (importing) return [["warn", "import unfinished"]];
	const altered = imported ? imported.edited + imported.masked : 0;
	return [
		current ? ["good", "recording"] : open ? ["info", "open"] : ["", "closed"],
		.../** @type {[string, string][]} */ (imported ? [altered ? ["bad", `imported, ${count(altered)} of ${count(imported.exchanges)} altered`] : ["", imported.foreign ? "imported from another tool" : "imported"]] : []),
		.../** @type {[string, string][]} */ (missing ? [["bad", `${count(missing)} missing`]] : incomplete ? [["bad", "incomplete"]] : []),
	];
}
