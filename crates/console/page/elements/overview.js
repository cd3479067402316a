// An exchange at a glance: its time, what the limit said, where it went, and what proves it.

import { h, recorded, visible } from "../dom.js";
import { count, dateTime, duration, size } from "../format.js";
import { address } from "../router.js";
import { sizes } from "./body.js";
import { copyButton } from "./copy.js";
import { waterfall } from "./waterfall.js";

/** @typedef {import("../app.js").Context} Context */
/** @typedef {import("./body.js").Body & { headers: import("./body.js").Header[], httpVersion: string }} MessageParts */
/**
 * An exchange, as `GET /api/v1/exchanges/{id}` describes it.
 * @typedef {{
 *   id: string, session: string, sessionName: string, sequence: number, environment: string, operation: string, startedAt: string,
 *   timesUs: import("./waterfall.js").TimesUs, peer: string | null,
 *   envelope: { client: string | null, clientToken: string | null, accessToken: string | null, paginated: boolean },
 *   request: MessageParts & { method: string, url: string },
 *   response: null | MessageParts & { status: number, reason?: string, requestId: string | null },
 *   limit: null | { decision: string, rule: string, used: number, limit: number, waitedMs: number, retryAfterS: number | null },
 *   outcome: string, error: null | { kind: string, message: string },
 *   webSocket?: import("./messages.js").WebSocketPart,
 *   destination?: { address: string, remote?: string, tls?: { serverName: string, authority: string }, proxy?: string },
 *   alteration?: string, notes?: string[], previousHash?: string, hash?: string
 * }} Exchange
 */

const OUTCOMES = /** @type {Record<string, string>} */ ({
  answered: "Mews responded",
  refused: "a limit refused the request",
  rejected: "the request could not be forwarded",
  failed: "Mews sent no response, or not all of it",
  aborted: "the client disconnected, or stopped reading",
  interrupted: "nightaudit was killed while it was in flight; it may have reached Mews",
});

const NOTES = /** @type {Record<string, string>} */ ({
  "own-headers-removed": "X-Nightaudit headers, which are reserved for nightaudit, were removed from the response",
  "origin-headers-removed": "Alt-Svc and Strict-Transport-Security, which bypass the proxy, were removed from the response",
  "redirect-rewritten": "the redirect to Mews was rewritten to point to the proxy",
  "cookies-rewritten": "cookies for Mews' host were rewritten for the proxy",
  "length-ignored": "the response had both Content-Length and chunked coding; Content-Length was ignored",
  "client-half-closed": "the client half-closed the connection before the response",
});

const AUTHORITIES = /** @type {Record<string, string>} */ ({
  public: "a public authority",
  system: "an authority of the machine only",
  configured: "a configured authority only",
});

const ALTERATIONS = /** @type {Record<string, string>} */ ({
  edited: "imported: altered since it was recorded",
  masked: "imported: values were masked before export",
});

/** The time to the last event, in microseconds. @param {Exchange} exchange */
export function took({ timesUs }) {
  return timesUs.responseEnd ?? timesUs.responseHead ?? timesUs.forwarded ?? 0;
}

/** What became of it, in words. @param {Exchange} exchange */
export function outcomeText({ outcome }) {
  return OUTCOMES[outcome] ? `${outcome}: ${OUTCOMES[outcome]}` : outcome;
}

/**
 * @param {Exchange} exchange
 * @param {Context} ctx
 * @param {{ origin: string | null }} known
 */
export function overview(exchange, ctx, { origin }) {
  const { error, limit, notes = [] } = exchange;
  return h(
    "div",
    { class: "overview scrolls", tabindex: 0, role: "region", "aria-label": "Overview" },
    error && h("p", { class: "callout bad" }, h("b", null, recorded(error.kind)), " ", recorded(error.message, { longest: 2000 })),
    notes.map((note) => h("p", { class: "callout info" }, recorded(NOTES[note] ?? note))),
    exchange.alteration && h("p", { class: "callout warn" }, ALTERATIONS[exchange.alteration] ?? recorded(exchange.alteration)),
    section("Time", waterfall(exchange.timesUs, limit?.waitedMs ?? 0)),
    limit && section("Limit", limitFacts(limit)),
    section("Exchange", exchangeFacts(exchange, ctx, origin)),
    section("Evidence", evidenceFacts(exchange, ctx)),
  );
}

/** @param {string} title @param {import("../dom.js").Children} content */
function section(title, content) {
  return h("section", null, h("h3", null, title), content);
}

/** @param {NonNullable<Exchange["limit"]>} limit */
function limitFacts({ decision, rule, used, limit, waitedMs, retryAfterS }) {
  const level = decision === "refused" || decision === "observed" ? "bad" : decision === "delayed" ? "warn" : "good";
  const what = decision === "observed" ? "over the limit, sent all the same" : decision;
  const bar = h("span", { class: level });
  bar.style.inlineSize = `${limit > 0 ? Math.min(100, (used / limit) * 100) : 0}%`;
  const more = [waitedMs > 0 && `delayed by ${duration(waitedMs * 1000)}`, retryAfterS !== null && `Retry-After ${count(retryAfterS)} s`].filter(Boolean);
  return h(
    "div",
    { class: "limit-said" },
    h("p", null, h("span", { class: `tag ${level}` }, what), " by ", recorded(rule, { class: "strong" }), more.length > 0 && `, ${more.join(", ")}`),
    h("p", { class: "muted" }, `${count(used)} of ${count(limit)} used in its window, ${count(Math.max(0, limit - used))} left`),
    h("div", { class: "meter", "aria-hidden": "true" }, bar),
  );
}

/** @param {[string, import("../dom.js").Children][]} pairs */
function facts(pairs) {
  const given = pairs.filter(([, value]) => value !== null && value !== false && value !== undefined);
  return h("dl", { class: "facts" }, given.map(([name, value]) => [h("dt", null, name), h("dd", null, value)]));
}

/** @param {Exchange} exchange @param {Context} ctx @param {string | null} origin */
function exchangeFacts(exchange, ctx, origin) {
  const { envelope, request, response, destination } = exchange;
  const requestId = response?.requestId ?? null;
  const fraction = /\.(\d+)/.exec(exchange.startedAt)?.[1] ?? "";
  const only = (/** @type {string} */ name, /** @type {string} */ value, /** @type {string} */ text) =>
    h("a", { href: address(["traffic"], { [name]: value }), title: `Only exchanges with this ${name}` }, text);
  return facts([
    ["Request-Id", requestId !== null && [mono(requestId), copyButton(() => requestId, ctx, "The Request-Id")]],
    ["Outcome", outcomeText(exchange)],
    ["Started", [`${dateTime(exchange.startedAt)}${fraction && `.${fraction}`}`, h("span", { class: "muted" }, ` (${visible(exchange.startedAt)})`)]],
    ["URL", mono(request.url, 4000)],
    ["Request", `${sizes(request)}, ${visible(request.httpVersion)}`],
    ["Response", response ? `${sizes(response)}, ${visible(response.httpVersion)}` : "none"],
    ["Client", envelope.client !== null && recorded(envelope.client)],
    ["Access token", envelope.accessToken !== null && only("token", envelope.accessToken, envelope.accessToken)],
    ["Client token", envelope.clientToken !== null && only("token", envelope.clientToken, envelope.clientToken)],
    ["Sent to", destination && destinationText(destination, origin, exchange.alteration !== undefined)],
    ["From", exchange.peer !== null && mono(exchange.peer)],
    ["Environment", recorded(exchange.environment)],
  ]);
}

/** @param {NonNullable<Exchange["destination"]>} destination @param {string | null} origin @param {boolean} isClaim */
function destinationText({ address, remote, tls, proxy }, origin, isClaim) {
  const how = tls ? `, TLS with ${tls.serverName}, certificate from ${AUTHORITIES[tls.authority] ?? tls.authority}` : ", in clear text";
  const said = `${address}${how}${proxy ? `, through the proxy ${proxy}` : ""}${remote ? ` (${remote})` : ""}`;
  const notMews = origin !== null && origin.includes("Mews");
  return [notMews && h("span", { class: "tag warn" }, origin), notMews && " ", recorded(said, { longest: 1000 }), isClaim && h("span", { class: "muted" }, ", as claimed")];
}

/** @param {Exchange} exchange @param {Context} ctx */
function evidenceFacts(exchange, ctx) {
  const copied = (/** @type {string | undefined} */ value, /** @type {string} */ what) => value !== undefined && [mono(value), copyButton(() => value, ctx, what)];
  const { request, response } = exchange;
  return facts([
    ["Id", copied(exchange.id, "The id")],
    ["Session", h("a", { href: address(["run", exchange.session]) }, recorded(exchange.sessionName))],
    ["Number", `${count(exchange.sequence)} of the session`],
    ["Hash", copied(exchange.hash, "The hash")],
    ["Previous hash", copied(exchange.previousHash, "The previous hash")],
    ["Request SHA-256", request.bodyLength > 0 && copied(request.bodySha256, "The digest")],
    ["Response SHA-256", response !== null && response.bodyLength > 0 && copied(response.bodySha256, "The digest")],
    ["As stored", stored(request, response)],
  ]);
}

/** @param {MessageParts} request @param {MessageParts | null} response */
function stored(request, response) {
  const changed = [request.storedSha256 && "request", response?.storedSha256 && "response"].filter(Boolean);
  return changed.length > 0 && `The ${changed.join(" and the ")} with tokens as pseudonyms; the digests above are of the ${size(request.bodyLength + (response?.bodyLength ?? 0))} that passed.`;
}

/** @param {string} text @param {number} [longest] */
const mono = (text, longest = 500) => recorded(text, { class: "mono", longest });
