// Failed calls and their later resolution, and retry chains: failure, attempts, the resolving call, the pauses between them.

import { h, recorded } from "../dom.js";
import { count, counted, duration, span, status, statusLevel, time, token } from "../format.js";
import { address } from "../router.js";
import { blank, card, exchangeLink, exchangeLinks, folded, mono, muted } from "./parts.js";

/** How early before the end of `Retry-After` a call may be sent, in milliseconds, as for the review. */
const EARLY = 250;

const pause = (/** @type {number} */ ms) => (ms < 3_600_000 ? duration(ms * 1000) : span(ms / 1000));

/** @param {Review} review */
export function errors({ errors: own, run }) {
	if (!own.failed) return h("div", { class: "card" }, blank("No call failed", "Failed calls appear here, with the calls that resolved them."));
	const session = run.session ?? "";
	return [
		card("Failed calls", h("span", { class: own.unresolved ? "bad" : "muted" }, `${counted(own.failed, "call")} failed; ${count(own.resolved)} later resolved`), folded(own.calls.map((call) => group(call, session)), "errors", 25)),
		own.chains && card("Retry chains", muted("failed attempts and the call that resolved them"), folded(own.chains.map(chain), "chains", 8)),
	];
}

/** @param {ErrorReview} own @param {string} session */
function group({ operation, status: code, count: times, byMews, message, exchanges, resolution }, session) {
	const filter = new URLSearchParams({ session, operation });
	if (code !== null) filter.set("status", String(code));
	const requestId = exchanges.at(-1)?.requestId;
	return h("li", null,
		h("span", { class: `mono ${statusLevel(code)}` }, status(code)),
		h("div", null,
			h("p", null, h("a", { href: address(["traffic"], filter) }, mono(operation)), muted(times > 1 && ` ${count(times)} times`, !byMews && code !== null && " by nightaudit")),
			h("p", null, recorded(message, { longest: 400 })),
			h("p", { class: "proof" }, exchangeLinks(exchanges.map(({ exchange }) => exchange), times), requestId && muted("Request-Id ", mono(requestId))),
			resolution ? h("p", { class: "good" }, `resolved after ${pause(resolution.afterMs)} by `, exchangeLink(resolution.exchange)) : h("p", { class: "bad" }, "not resolved")));
}

/** @param {RetryChain} own */
function chain({ operation, accessToken, count: times, attempts, resolution }) {
	const more = times - attempts.length;
	const line = attempts.flatMap(({ exchange, at, status: code, byMews, retryAfterS }, place) => [
		place > 0 && gap(new Date(at).getTime() - new Date(attempts[place - 1].at).getTime(), attempts[place - 1]),
		h("li", null, h("a", { class: `node ${statusLevel(code)}`, href: address(["exchange", exchange]), title: `Sent at ${time(at)}: exchange ${exchange}` }, code === null ? "no response" : code, !byMews && code !== null && " by us"),
			retryAfterS !== undefined && h("span", { class: "hint" }, `Retry-After ${retryAfterS} s`)),
	]);
	return h("li", null,
		h("p", { class: "proof" }, h("b", null, mono(operation)), muted(`${counted(times, "failed attempt")}, ${resolution ? `resolved after ${pause(resolution.afterMs)}` : "not resolved"}`), accessToken && muted("token ", mono(token(accessToken)))),
		h("ol", null, line.filter(Boolean), more > 0 && h("li", { class: "gap dashed" }, h("span", null, `${count(more)} more`)),
			resolution
				? [gap(resolution.afterMs, more > 0 ? undefined : attempts.at(-1)), h("li", null, h("a", { class: "node good", href: address(["exchange", resolution.exchange]), title: `Sent at ${time(resolution.at)}` }, "resolved"))]
				: [h("li", { class: "gap dashed" }), h("li", null, h("span", { class: "node bad" }, "not resolved"))]));
}

/** A pause: the longer, the wider, by its logarithm; marked if it was shorter than the `Retry-After` before it. @param {number} ms @param {Attempt} [before] */
function gap(ms, before) {
	const early = before?.retryAfterS !== undefined && ms < before.retryAfterS * 1000 - EARLY;
	const element = h("li", { class: `gap ${early ? "bad" : ""}`, title: early ? `Sent before the Retry-After of ${before.retryAfterS} s had passed` : null }, h("span", null, pause(Math.max(0, ms))));
	element.style.flexGrow = String(Math.max(1, Math.log10(Math.max(1, ms)) ** 2));
	return element;
}
