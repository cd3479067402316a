// The certification run of a session: how far it is, and what the reviewers will say. It is kept up to date.

import { ApiError } from "../api.js";
import { fill, h, recorded, visible } from "../dom.js";
import { coverage } from "../elements/coverage.js";
import { declaration } from "../elements/declaration.js";
import { errors } from "../elements/errors.js";
import { evidence } from "../elements/evidence.js";
import { checklist, findings, silenced } from "../elements/findings.js";
import { handling } from "../elements/handling.js";
import { VERDICT, blank, card, meter, muted, refill, said, selecting, sentence, tag } from "../elements/parts.js";
import { strip } from "../elements/strip.js";
import { count } from "../format.js";
import { poll } from "../poll.js";
import { address } from "../router.js";

const TABS = ["findings", "operations", "errors", "limits", "declaration", "evidence"];

/**
 * @param {Route} route
 * @param {Context} ctx
 * @returns {Promise<View>}
 */
export async function view(route, ctx) {
	const element = h("div", { class: "page run" });
	/** @type {Awaited<ReturnType<typeof show>> | null} */
	let shown = null;
	let turn = 0;
	const open = async (/** @type {Route} */ { path, query }) => {
		const mine = ++turn;
		if (shown && shown.id === path[1]) return shown.turnTo(query);
		const { sessions } = await ctx.api.get("/api/v1/sessions");
		const session = chosen(sessions, path[1]);
		if (mine !== turn) return;
		if (shown && shown.id === session?.id) return shown.turnTo(query);
		shown?.leave();
		shown = session ? await show(session, sessions, query, ctx) : null;
		fill(element, shown?.element ?? h("div", { class: "card" }, path[1]
			? blank("There is no such session", recorded(path[1]), h("a", { class: "button", href: "#/sessions" }, "Sessions"))
			: blank("No sessions yet", ["Start ", h("code", null, "nightaudit serve --session certification"), " and send a request through it."])));
	};
	await open(route);
	return { element, title: "Certification run", update: (now) => void open(now).catch((error) => ctx.notify("bad", said(error))), leave: () => shown?.leave() };
}

/**
 * By id or name; without one the one being recorded, else the one that recorded last.
 * @param {Session[]} sessions
 * @param {string} [which]
 */
function chosen(sessions, which) {
	const newest = sessions.toSorted((a, b) => (b.last ?? b.started).localeCompare(a.last ?? a.started));
	if (!which) return sessions.find(({ current }) => current) ?? newest[0];
	return sessions.find(({ id }) => id === which) ?? newest.find(({ name, open }) => open && name === which) ?? newest.find(({ name }) => name === which);
}

/**
 * @param {Session} session
 * @param {Session[]} sessions
 * @param {URLSearchParams} query
 * @param {Context} ctx
 */
async function show({ id }, sessions, query, ctx) {
	const leaving = new AbortController();
	const { signal } = leaving;
	const catalogue = /** @type {Catalogue} */ (await ctx.api.get("/api/v1/catalogue", { signal }));
	const titles = new Map(catalogue.rules.map((rule) => [rule.id, rule.title]));
	const known = new Map(catalogue.operations.map((own) => [own.name, own]));
	const editor = declaration(id, ctx, catalogue);
	/** @type {ReturnType<typeof evidence> | undefined} */
	let building;
	/** @type {Review | undefined} */
	let review;
	let tab = "";
	let painted = "";
	/** Why there is no review yet. */
	let why = "";

	const at = (/** @type {string} */ name) => address(["run", id], { tab: name });
	const select = h("select", { class: "field", "aria-label": "Session", onchange: () => ctx.go(address(["run", select.value])) },
		sessions.map((own) => h("option", { value: own.id }, `${visible(own.name, 60)}${own.current ? " (recording)" : own.open ? " (open)" : ""}`)));
	select.value = id;
	const state = h("p", { class: "muted", role: "status" });
	const verdict = h("section", { "aria-live": "polite" });
	const hours = strip();
	const activity = h("section", { class: "card weight" }, hours.element);
	const badges = TABS.map(() => tag("", ""));
	const links = TABS.map((name, place) => h("a", { href: at(name) }, name[0].toUpperCase() + name.slice(1), badges[place]));
	const nav = h("nav", { class: "subtabs", "aria-label": "Certification run" }, links);
	const place = h("div", { class: "stack" });

	const inEditor = (/** @type {() => Promise<void>} */ edit) => {
		// At once, so that the editor is there to take the focus.
		tab = "declaration";
		paint();
		ctx.go(at(tab));
		void edit();
	};
	const find = (/** @type {string} */ rule) => {
		place.querySelector(`[data-rule="${CSS.escape(rule)}"] a, [data-rule="${CSS.escape(rule)}"]`)?.scrollIntoView({ block: "center" });
	};
	const content = (/** @type {Review} */ now) => {
		if (tab === "operations") return coverage(now, known, (names) => inEditor(() => editor.declare(names)));
		if (tab === "errors") return errors(now);
		if (tab === "limits") return handling(now);
		return h("div", { class: "columns" },
			card("What to fix, most serious first", null, findings(now, titles, (rule, operation) => inEditor(() => editor.change(rule, operation))), silenced(now)),
			card("Certification checklist", null, checklist(now.checklist, find), now.bounds.map((own) => h("p", { class: "weight muted" }, recorded(own)))));
	};
	const paint = () => {
		TABS.forEach((name, at) => (name === tab ? links[at].setAttribute("aria-current", "page") : links[at].removeAttribute("aria-current")));
		if (tab === "evidence") building ??= evidence(id, ctx, true);
		const fixed = tab === "declaration" ? editor.element : tab === "evidence" ? building?.element : null;
		// What is typed stays; the rest is drawn anew only when it has changed.
		const text = fixed ? tab : tab + why + JSON.stringify({ ...review, upTo: 0, run: review?.run.session });
		if (text === painted || (painted.startsWith(tab) && selecting(place))) return;
		painted = text;
		refill(place, fixed ?? (review ? content(review) : h("div", { class: "card" }, blank(why ? "There is no review of this session" : "Reading the session…", sentence(why)))));
	};
	const turnTo = (/** @type {URLSearchParams} */ now) => {
		tab = TABS.find((name) => name === now.get("tab")) ?? TABS[0];
		paint();
		nav.scrollLeft = links[TABS.indexOf(tab)].offsetLeft - nav.offsetLeft - 40;
	};

	let declared = "";
	void poll(1000, signal, async (seen) => {
		const now = /** @type {Review & {building?: {read: number, of: number}}} */ (await ctx.api.get(`/api/v1/sessions/${encodeURIComponent(id)}/review${review?.upTo ? `?wait=${review.upTo.sequence}` : ""}`, { signal: seen }));
		if (now.building) {
			state.textContent = `Reading the session: ${count(now.building.read)} of ${count(now.building.of)} exchanges`;
			return;
		}
		const text = JSON.stringify([now.declared, now.silenced.length, now.leftOut, now.findings.map(({ ruling }) => ruling)]);
		if (review && text !== declared) void editor.refresh().catch(() => {});
		declared = text;
		review = now;
		why = "";
		state.textContent = "";
		head(verdict, now);
		activity.hidden = !now.run.exchanges;
		hours.draw(now.run, now.findings);
		[now.counts.errors + now.counts.warnings, now.coverage.notCalled + now.coverage.onlyFailed, now.errors.unresolved, 0, 0, 0].forEach((number, at) => {
			badges[at].hidden = !number;
			badges[at].textContent = count(number);
			badges[at].className = `tag ${at || now.counts.errors ? "bad" : "warn"}`;
		});
		paint();
	}, (error) => {
		const gone = error instanceof ApiError && error.status === 404;
		state.textContent = gone ? "This session is no longer in the log." : `Not up to date: ${said(error)}`;
		if (gone) leaving.abort();
		why = said(error);
		paint();
	});
	turnTo(query);

	return {
		id,
		turnTo,
		element: h("div", { class: "stack" },
			h("div", { class: "heading" }, h("h1", null, "Certification run"), select, state, h("span", { class: "spacer" }), h("a", { href: address(["traffic"], { session: id }) }, "Its traffic")),
			verdict, activity, nav, place),
		leave() {
			leaving.abort();
			building?.leave();
		},
	};
}

/**
 * The verdict with its figures.
 * @param {HTMLElement} place
 * @param {Review} review
 */
function head(place, { verdict, counts, run, headline, summary, declared: stated, coverage: { declared, succeeded } }) {
	const text = JSON.stringify([verdict, counts, run.durationS, run.exchanges, summary, declared, succeeded, stated?.kind]);
	if (place.dataset.shown === text) return;
	place.dataset.shown = text;
	const [level] = VERDICT[verdict];
	const rest = summary.startsWith(headline) ? summary.slice(headline.length).replace(/^[.:]\s*/, "") : summary;
	const minutes = Math.floor(run.durationS / 60);
	// A private integration needs no hours.
	const asked = stated?.kind === "private" ? 0 : run.askedS / 3600;
	const figure = (/** @type {string} */ title, /** @type {Children} */ value, kind = "", /** @type {Children} */ more = null) => h("div", null, h("dt", null, title), h("dd", null, h("b", { class: kind }, value), more));
	place.className = "card verdict";
	place.dataset.level = level;
	fill(place,
		h("div", { class: "weight" }, h("h2", { class: level }, recorded(headline, { longest: 300 })), h("p", null, sentence(rest.replace(/^[a-z](?![^ ]*\/)/, (letter) => letter.toUpperCase())))),
		h("dl", { class: "weight" },
			figure("Hours", `${Math.floor(minutes / 60)} h ${minutes % 60} min`, "", asked > 0 && [muted(` of ${asked} h`), meter(minutes / 60 / asked, minutes / 60 < asked ? "" : "good")]),
			figure("Errors", count(counts.errors), counts.errors ? "bad" : "muted"),
			figure("Warnings", count(counts.warnings), counts.warnings ? "warn" : "muted"),
			figure("Notes", count(counts.notes), counts.notes ? "info" : "muted"),
			figure("Declared operations", declared ? count(succeeded) : "none", declared ? "" : "muted", declared > 0 && muted(` of ${count(declared)} succeeded`)),
			figure("Exchanges", count(run.exchanges))));
}
