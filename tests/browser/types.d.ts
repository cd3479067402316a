// Shapes that several of the page's modules share, for its type check. Not shipped.

import type { Context as PageContext } from "../../crates/console/page/app.js";
import type { Child as PageChild } from "../../crates/console/page/dom.js";
import type { JsonDoc as Document } from "../../crates/console/page/elements/json-doc.js";
import type { Route as PageRoute, View as PageView } from "../../crates/console/page/router.js";
import type { Lines } from "../../crates/console/page/elements/lines.js";

declare global {
	type Context = PageContext;
	type Child = PageChild;
	type Children = Child | Children[];
	type Doc = Document;
	type Route = PageRoute;
	type View = PageView;

	/** What keys do in something shown; not everything has all of it. */
	interface Acts {
		lines?: Lines;
		/** Moves by lines. */
		move?(by: number): void;
		/** To the next or previous match. */
		step?(forwards: boolean): void;
		focusSearch?(): void;
		toggle?(): void;
		foldAll?(): void;
		/** To the right or the left. */
		aside?(right: boolean): void;
		copyValue?(): void;
		copyPointer?(): void;
		/** Selects and shows what is at a JSON pointer, or what it would be in. */
		showPointer?(pointer: string): void;
	}
	interface Shown {
		element: HTMLElement;
		/** `null` while there is nothing yet. */
		readonly acts?: Acts | null;
		leave?(): void;
	}

	/** A header, as an exchange has it. */
	interface HttpHeader {
		name: string;
		value: string;
	}
	/** A body, as an exchange has it. */
	interface HttpBody {
		body: string | null;
		bodyEncoding: "utf-8" | "base64" | null;
		wireBody?: string;
		contentEncoding?: string;
		bodyLength: number;
		bodySha256: string;
		storedSha256?: string;
		truncated: boolean;
		masked?: boolean;
		withheld?: string;
		undecoded?: boolean;
	}
	interface HttpMessage extends HttpBody {
		headers: HttpHeader[];
		httpVersion: string;
	}
	interface WebSocketMessage extends HttpBody {
		time: string;
		type: "send" | "receive";
		opcode: number;
	}
	interface WebSocketPart {
		handshake: string;
		part: number;
		messages: WebSocketMessage[];
		omitted?: { messages: number; bytes: number };
		unreadableBytes?: number;
		ended?: boolean;
	}
	interface TimesUs {
		forwarded: number | null;
		responseHead: number | null;
		responseEnd: number | null;
	}
	/** `GET /api/v1/exchanges/{id}` */
	interface Exchange {
		/** What fault rules did to it. */
		fault?: { rules: string[]; ending?: string; delayedMs?: number; upstreamStatus?: number };
		/** Absent but for webhooks. */
		direction?: "incoming";
		/** The other tool that recorded it. */
		recordedBy?: string;
		id: string;
		session: string;
		sessionName: string;
		sequence: number;
		environment: string;
		operation: string;
		startedAt: string;
		timesUs: TimesUs;
		peer: string | null;
		envelope: { client: string | null; clientToken: string | null; accessToken: string | null; paginated: boolean };
		request: HttpMessage & { method: string; url: string };
		response: null | (HttpMessage & { status: number; reason?: string; requestId: string | null });
		limit: null | { decision: string; rule: string; used: number; limit: number; waitedMs: number; retryAfterS: number | null };
		outcome: string;
		error: null | { kind: string; message: string };
		webSocket?: WebSocketPart;
		destination?: { address: string; remote?: string; tls?: { serverName: string; authority: string }; proxy?: string };
		resentFrom?: string;
		alteration?: string;
		notes?: string[];
		previousHash?: string;
		hash?: string;
	}
	/** `GET /api/v1/exchanges/{id}/contract` */
	interface Contract {
		operation: string;
		known: boolean;
		documentation: string | null;
		checked: boolean;
		why: string | null;
		findings: { pointer: string; message: string; expected: string; found: string; kind: string; disputed: string | null; ends: string | null }[];
		sideline: { title: string | null; notes: string[]; replacedBy: string[]; revision: string; suggestion: { operation: string; reason: string } | null };
	}

	/** Said at a place in JSON. */
	interface Remark {
		pointer: string;
		text: string;
	}
	/**
	 * A line of a comparison: a value of the left document beside one of the right, -1 where there is none. `same` are equal
	 * with all that they contain, which isn't listed; `inside` are containers that differ in what they contain, which follows;
	 * the others are changed, removed or added with all that they contain.
	 */
	interface DiffLine {
		kind: "same" | "inside" | "changed" | "removed" | "added";
		left: number;
		right: number;
		depth: number;
	}
	/** Makes the text of a name or scalar. */
	type MakeText = (text: string, longest: number) => Children;

	interface PaneOptions {
		/** The filter of the list beside it. */
		query?: URLSearchParams;
		/** Opens another exchange. */
		onOpen?: (id: string) => void;
		/** The exchanges beside one in the list; null if the API knows them. */
		beside?: (id: string) => { previous: string | null; next: string | null } | null;
		/** Closes the pane; a view of its own has none. */
		onClose?: () => void;
		onTab?: (tab: string) => void;
		tab?: string | null;
	}

	/** A session, as `GET /api/v1/sessions` lists it. */
	interface Session {
		id: string;
		name: string;
		environment: string;
		started: string;
		ended: string | null;
		exchanges: number;
		first: string | null;
		last: string | null;
		bytes: number;
		note: string | null;
		incomplete: boolean;
		imported?: { exchanges: number; edited: number; masked: number; foreign?: number };
		declaration?: string;
		open: boolean;
		current: boolean;
		missing?: number;
		importing?: boolean;
	}

	type Severity = "error" | "warning" | "note";
	type Verdict = "empty" | "ready" | "questions" | "not-ready" | "not-mews" | "not-proven";

	interface Finding {
		rule: string;
		severity: Severity;
		message: string;
		operation: string | null;
		count: number;
		exchanges: string[];
		first: string | null;
		last: string | null;
		advice: string;
		ruling: { was: Severity; reason: string } | null;
	}

	interface Check {
		id: string;
		title: string;
		state: "passed" | "failed" | "not-judged";
		figure: string;
		rules: string[];
		silenced?: string[];
	}

	interface CertificationRun {
		session: string | null;
		sessionName: string;
		environment: string;
		exchanges: number;
		outcomes: Record<string, number>;
		first: string | null;
		last: string | null;
		durationS: number;
		askedS: number;
		activeHours: number;
		totalHours: number;
		hours: { at: string; calls: number; failed: number }[];
		hourS: number;
		gaps: { from: string; to: string; seconds: number; endedBy: string }[];
		starts: number | null;
		missing: number;
	}

	interface CoverageReview {
		operation: string;
		declared: boolean;
		purpose: string | null;
		calls: number;
		succeeded: number;
	}

	interface Resolution {
		exchange: string;
		at: string;
		afterMs: number;
	}

	interface Attempt {
		exchange: string;
		at: string;
		status: number | null;
		byMews: boolean;
		retryAfterS?: number;
	}

	interface RetryChain {
		operation: string;
		accessToken: string | null;
		count: number;
		attempts: Attempt[];
		resolution: Resolution | null;
	}

	interface ErrorReview {
		operation: string;
		accessToken: string | null;
		status: number | null;
		byMews: boolean;
		message: string;
		count: number;
		exchanges: { exchange: string; requestId: string | null }[];
		first: string;
		last: string;
		resolution: Resolution | null;
	}

	interface LimitReview {
		rule: string;
		requests: number;
		windowMs: number | null;
		accessToken: string | null;
		clientToken: string | null;
		operation: string | null;
		sent: number;
		busiest: null | { from: string; to: string; requests: number; share: number; exchange: string };
		refusedByUs: number;
		refusedByMews: number;
		delayed: number;
	}

	interface RetryReview {
		accessToken: string | null;
		origin: "mews" | "nightaudit" | "fault";
		cause: "tooManyRequests" | "tooHeavy" | "serverError" | "noAnswer";
		count: number;
		withRetryAfter: number;
		ignored: number;
		heeded: number;
		backedOff: number;
		fixedPauses: number;
		withoutBackoff: number;
		hammered: number;
		shortestPauseMs: number | null;
		longestPauseMs: number | null;
	}

	/** What `review --json` prints, with how far it has read. */
	interface EventReview {
		event: string;
		channel: "webhook" | "webSocket";
		fetchedBy: string | null;
		received: number;
		accepted: number;
		late: number;
		failed: number;
		followed: number;
		notFollowed: number;
		fetchedAgain: number;
	}

	interface EventsReview {
		webhooks: { received: number; accepted: number; late: number; failed: number; acceptedLater: number; others: number };
		sockets: { accessToken: string | null; connections: number; openS: number; closedS: number; gaps: number; longestGapS: number }[];
		kinds: EventReview[];
	}

	interface Review {
		verdict: Verdict;
		headline: string;
		summary: string;
		checklist: Check[];
		counts: { errors: number; warnings: number; notes: number; silenced: number };
		findings: Finding[];
		silenced: Finding[];
		leftOut?: { exchange: string; reason: string; operation: string | null; status: number | null }[];
		declared: null | { useCase: string | null; operations: number; everyHours?: number; kind: string };
		run: CertificationRun;
		coverage: { declared: number; succeeded: number; onlyFailed: number; notCalled: number; undeclared: number; operations: CoverageReview[] };
		useCase: null | { name: string; title: string; sections: { title: string; operations: { operation: string; calls: number; succeeded: number }[] }[] };
		operations: { operation: string; title: string | null; latency: null | { p50: number; p99: number } }[];
		limits: LimitReview[];
		retries: RetryReview[];
		events?: EventsReview;
		errors: { failed: number; resolved: number; unresolved: number; calls: ErrorReview[]; chains?: RetryChain[]; unlisted: number };
		bounds: string[];
		upTo?: { sequence: number; at: string | null };
		current?: boolean;
	}

	/** What changed from one review to another. */
	interface Comparison {
		was: Verdict;
		is: Verdict;
		fixed: Finding[];
		new: Finding[];
		standing: { finding: Finding; was: number }[];
	}

	/** A difference between the traffic of two sessions. */
	interface Difference {
		kind: string;
		change: string;
		severity: Severity;
		certain: boolean;
		operation: string | null;
		subject: string;
		message: string;
		examples: { side: "a" | "b"; exchange: string }[];
	}

	interface Differences {
		counts: { error: number; warning: number; note: number };
		differences: Difference[];
		operations: { operation: string }[];
		bounds: string[];
		method: string;
	}

	/** What a declaration can name. */
	interface Catalogue {
		useCases: { name: string; title: string; operations: string[] }[];
		operations: { name: string; title: string; documentation: string | null }[];
		rules: { id: string; severity: Severity; title: string; advice: string; canBeSilenced: boolean }[];
	}

	/** A declaration, by the keys of `certification.toml`. */
	interface Declaration {
		partner?: string;
		contact?: string;
		kind?: string;
		integration?: string;
		client?: string;
		use_case?: string;
		pilot?: string;
		webhooks?: boolean;
		websocket?: boolean;
		every_hours?: number;
		domains?: string[];
		operations?: Record<string, string>;
		leave_out?: Record<string, string>;
		rules?: Record<string, RuleChange>;
	}

	interface RuleChange {
		severity?: string;
		silence?: boolean;
		operations?: string[];
		reason: string;
	}

	interface StoredDeclaration {
		toml: string;
		template: string;
		declaration: Declaration | null;
		error: string | null;
	}

	/** A key of a limit, as `GET /api/v1/limits` lists it. */
	interface LimitState {
		rule: string;
		key: string;
		limit: number;
		windowMs: number;
		used: number;
		left: number;
		nextFreeMs: number;
		refused: number;
		refusedByMews: number;
		nodes?: { node: string; used: number }[];
		delayed: number;
		closedForMs: number | null;
	}

	interface LimitHistory {
		from: string | null;
		stepMs: number;
		rules: { rule: string; limit: number; points: (number | null)[] }[];
		refused: (number | null)[];
		refusedByMews: (number | null)[];
	}

	interface EvidenceJob {
		id: string;
		session: string;
		format: string;
		state: "running" | "done" | "failed";
		exchanges: number;
		of: number;
		bytes: number;
		missing: number;
		error: string | null;
		fileName: string;
		fingerprint: string | null;
	}
}
