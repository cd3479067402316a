// Shapes that several of the page's modules share, for its type check. Not shipped.

import type { Context as PageContext } from "../../crates/console/page/app.js";
import type { Child as PageChild } from "../../crates/console/page/dom.js";
import type { JsonDoc as Document } from "../../crates/console/page/elements/json-doc.js";
import type { Lines } from "../../crates/console/page/elements/lines.js";

declare global {
	type Context = PageContext;
	type Child = PageChild;
	type Children = Child | Children[];
	type Doc = Document;

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
		findings: { pointer: string; message: string; expected: string | null; kind: string }[];
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
		/** Closes the pane; a view of its own has none. */
		onClose?: () => void;
		onTab?: (tab: string) => void;
		tab?: string | null;
	}
}
