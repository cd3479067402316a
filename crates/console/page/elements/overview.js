// An exchange at a glance: its time, what the limit said, where it went, and what proves it.

import { h, recorded } from "../dom.js";
import { count, dateTime, duration } from "../format.js";
import { address } from "../router.js";
import { sizes } from "./body.js";
import { copyButton } from "./copy.js";
import { waterfall } from "./waterfall.js";

/** The time to the last event, in microseconds. @param {Exchange} exchange */
export function took({ timesUs }) {
	return timesUs.responseEnd ?? timesUs.responseHead ?? timesUs.forwarded ?? 0;
}

const LEVELS = /** @type {Record<string, string>} */ ({ admitted: "good", delayed: "warn" });
const AUTHORITIES = /** @type {Record<string, string>} */ ({ public: "a public authority", system: "an authority of the machine only", configured: "a configured authority only", unknown: "an authority that was not recorded" });

/** @param {Exchange} exchange @param {Context} ctx @param {string | null} origin why it doesn't show how Mews behaves @param {boolean} isImported */
export function overview(exchange, ctx, origin, isImported) {
	const { alteration, destination, envelope, error, fault, limit, notes = [], recordedBy, request, response } = exchange;
	/** @param {string | null | undefined} text @param {string} [what] copies it */
	const mono = (text, what) => text && [recorded(text, { class: "mono", longest: 4000 }), what && copyButton(text, ctx, what)];
	const only = (token = "") => h("a", { href: address(["traffic"], { token }), title: "Only its exchanges" }, token);
	/** @param {string} level @param {Children} text */
	const callout = (level, text) => h("p", { class: `callout ${level}` }, text);
	/** @param {string} title @param {[string, Children][]} facts */
	const section = (title, facts, top = /** @type {Child} */ (null)) =>
		h("section", null, h("h2", null, title), top, h("dl", { class: "facts" }, facts.flatMap(([name, value]) => (value ? [h("dt", null, name), h("dd", null, value)] : []))));
	const limitFacts = () => {
		if (!limit) return null;
		const { decision, rule, used, waitedMs, retryAfterS } = limit;
		const level = LEVELS[decision] ?? "bad";
		const bar = h("span", { class: level });
		bar.style.inlineSize = `${Math.min(100, (used / Math.max(1, limit.limit)) * 100)}%`;
		return section("Limit", [
			["Decision", [h("span", { class: `tag ${level}` }, decision), " by ", recorded(rule, { class: "strong" }), decision === "observed" && ": over the limit, sent all the same"]],
			["Window", `${count(used)} of ${count(limit.limit)} used, ${count(Math.max(0, limit.limit - used))} left`],
			["", h("div", { class: "meter" }, bar)],
			["Delayed by", waitedMs > 0 && duration(waitedMs * 1000)],
			["Retry-After", retryAfterS !== null && `${count(retryAfterS)} s`],
		]);
	};
	const sentTo = () => {
		if (!destination) return null;
		const { address, remote, tls, proxy } = destination;
		const how = tls ? `, TLS with ${tls.serverName}, certificate from ${AUTHORITIES[tls.authority] ?? tls.authority}` : ", in clear text";
		const isNotMews = origin?.includes("Mews");
		return [isNotMews && [h("span", { class: "tag warn" }, origin), " "], recorded(`${address}${how}${proxy ? `, through the proxy ${proxy}` : ""}${remote ? ` (${remote})` : ""}${alteration || recordedBy || isImported ? ", as claimed" : ""}`, { longest: 1000 })];
	};
	const isStoredOtherwise = [request, response].some((message) => message?.storedSha256);
	return h(
		"div",
		{ class: "overview scrolls", tabindex: 0, role: "region", "aria-label": "Overview" },
		error && callout("bad", [h("b", null, recorded(error.kind)), ": ", recorded(error.message, { longest: 2000 })]),
		fault && callout("warn", ["Injected fault, by ", recorded(fault.rules.join("; "), { class: "mono", longest: 2000 }), fault.upstreamStatus && `; Mews had responded with ${fault.upstreamStatus}`]),
		notes.map((note) => callout("info", recorded(note.replaceAll("-", " ")))),
		recordedBy && callout("warn", ["Imported: recorded by ", recorded(recordedBy, { longest: 200 }), ", whose word its times and bytes are."]),
		(alteration || (isImported && !recordedBy)) && callout("warn", `Imported: ${alteration === "masked" ? "values were masked before export" : alteration ? "altered since it was recorded" : "the hash matches, which alone proves nothing"}.`),
		h("div", null, section("Time", [], waterfall(exchange.timesUs, limit?.waitedMs ?? 0)), limitFacts()),
		section("Exchange", [
			["Request-Id", mono(response?.requestId, "The Request-Id")],
			["Direction", exchange.direction === "incoming" && "Webhook, from Mews to the integration"],
			["Outcome", exchange.outcome],
			["Started", [dateTime(exchange.startedAt), h("span", { class: "muted" }, " ", recorded(exchange.startedAt))]],
			["URL", mono(request.url)],
			["Request", [sizes(request), ", ", recorded(request.httpVersion)]],
			["Response", response && [sizes(response), ", ", recorded(response.httpVersion)]],
			["Client", envelope.client !== null && recorded(envelope.client)],
			["Access token", envelope.accessToken && only(envelope.accessToken)],
			["Client token", envelope.clientToken && only(envelope.clientToken)],
			["Sent to", sentTo()],
			["From", mono(exchange.peer)],
			["Sent again from", exchange.resentFrom && h("a", { href: address(["exchange", exchange.resentFrom]) }, recorded(exchange.resentFrom))],
			["Environment", recorded(exchange.environment)],
		]),
		section("Evidence", [
			["Id", mono(exchange.id, "The id")],
			["Session", [h("a", { href: address(["run", exchange.session]) }, recorded(exchange.sessionName)), `, number ${count(exchange.sequence)}`]],
			["Hash", mono(exchange.hash, "The hash")],
			["Previous hash", mono(exchange.previousHash, "The previous hash")],
			["Request SHA-256", mono(request.bodySha256, "The digest")],
			["Response SHA-256", mono(response?.bodySha256, "The digest")],
			["", isStoredOtherwise && "The digests are of the bodies as they passed; they are stored with tokens as pseudonyms."],
		]),
	);
}
