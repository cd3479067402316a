// Limits with the fullest window of each, and how refusals and failures were handled, in the words of `nightaudit review`.

import { h } from "../dom.js";
import { count, duration, shortTime, token } from "../format.js";
import { address } from "../router.js";
import { blank, card, exchangeLink, mono, muted, table } from "./parts.js";

const CAUSES = /** @type {Record<RetryReview["cause"], string>} */ ({ tooManyRequests: "429", tooHeavy: "408", serverError: "5xx", noAnswer: "no response" });

const ORIGINS = { mews: "Mews", nightaudit: "nightaudit", fault: "a fault" };

/** A number that is bad unless it is zero. @param {number} number */
const bad = (number) => h("span", { class: number ? "bad" : "muted" }, count(number));

/** Webhooks and WebSocket events, where there are any. @param {EventsReview} events */
const announced = ({ webhooks, sockets, kinds }) => {
	const later = webhooks.acceptedLater > 0 ? `; ${count(webhooks.acceptedLater)} accepted when sent again` : "";
	const told = webhooks.received > 0 && muted(`${count(webhooks.accepted)} of ${count(webhooks.received)} webhooks accepted within 5 seconds${later}`);
	const ofWebhooks = (/** @type {EventReview} */ own, /** @type {Children} */ shown) => own.channel === "webhook" ? shown : muted("–");
	return card("Webhooks and events", told,
		kinds.length > 0 && table(["Event", "By", ">Received", ">Accepted", ">Late", ">Failed", "Fetched by", ">Followed", ">Not followed", ">Fetched again"], kinds.map((own) => [
			mono(own.event), own.channel === "webhook" ? "webhook" : "WebSocket", count(own.received),
			ofWebhooks(own, count(own.accepted)), ofWebhooks(own, bad(own.late)), ofWebhooks(own, bad(own.failed)),
			...own.fetchedBy === null ? [muted("–"), muted("–"), muted("–"), muted("–")] : [mono(own.fetchedBy), count(own.followed), bad(own.notFollowed), bad(own.fetchedAgain)],
		])),
		sockets.length > 0 && table(["WebSockets of token", ">Connections", ">Open", ">Closed in between", ">Gaps", ">Longest"], sockets.map((own) => [
			mono(token(own.accessToken)), count(own.connections), duration(own.openS * 1e6), duration(own.closedS * 1e6), bad(own.gaps), own.gaps > 0 && duration(own.longestGapS * 1e6),
		])));
};

/** The tokens and the operation that are counted together. @param {(string | null)[]} parts */
const key = (...parts) => parts.filter(Boolean).map((part, at) => [at > 0 && " ", mono(token(part))]);

/** @param {Review} review */
export function handling({ limits, retries, events, run }) {
	const session = run.session ?? "";
	const refused = h("a", { href: address(["traffic"], { session, outcome: "refused" }) }, "what nightaudit refused");
	return [
		card("Limits", limits.length > 0 && muted("with the peak window of each"), limits.length
			? table(["Rule", "Key", ">Peak", ">Share", "Peak ended", ">Delayed", ">Refused by us", ">By Mews"], limits.map((own) => [
				mono(own.rule), key(own.accessToken, own.clientToken, own.operation), `${count(own.busiest?.requests ?? 0)} of ${count(own.requests)}`,
				own.busiest && h("span", { class: own.busiest.share > 1 ? "bad" : null }, `${Math.round(own.busiest.share * 100)} %`),
				own.busiest && [`${shortTime(own.busiest.to)} `, exchangeLink(own.busiest.exchange)],
				count(own.delayed), bad(own.refusedByUs), bad(own.refusedByMews),
			]))
			: blank("No limit applies", "Nothing was sent that a limit counts.")),
		card("Refusals and failures, and how they were handled", retries.some(({ origin }) => origin === "nightaudit") && refused, retries.length
			? table(["Token", "Refusal or failure", ">Times", ">Heeded", ">Ignored", ">Backed off", ">Not backed off", "Pauses"], retries.map((own) => [
				mono(token(own.accessToken)), `${CAUSES[own.cause]} from ${ORIGINS[own.origin]}`, count(own.count), count(own.heeded), bad(own.ignored),
				count(own.backedOff), bad(own.fixedPauses + own.withoutBackoff + own.hammered),
				own.shortestPauseMs !== null && own.longestPauseMs !== null && `${duration(own.shortestPauseMs * 1000)} to ${duration(own.longestPauseMs * 1000)}`,
			]))
			: blank("Nothing was refused and nothing failed", "429, 408, 5xx and requests without a response appear here, with what the integration did then.")),
		events && announced(events),
	];
}
