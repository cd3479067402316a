// What was said over a WebSocket: the messages of a part, and the parts of a connection.

import { fill, h, recorded } from "../dom.js";
import { count, counted, size, time } from "../format.js";
import { address } from "../router.js";
import { bodyView, fromBase64, remarksOn } from "./body.js";
import { Lines } from "./lines.js";

const KINDS = /** @type {Record<number, string>} */ ({ 1: "text", 2: "binary", 9: "ping", 10: "pong" });

/** Characters of a message on its line. */
const PREVIEW = 160;

/** Of a close frame also the code and reason (RFC 6455, section 5.5.1). @param {WebSocketMessage} message */
export function kindOf({ opcode, body, bodyEncoding }) {
	if (opcode !== 8) return KINDS[opcode] ?? `opcode ${opcode}`;
	const bytes = bodyEncoding === "base64" ? fromBase64(body ?? "") : new TextEncoder().encode(body ?? "");
	return bytes.length < 2 ? "close" : `close ${bytes[0] * 256 + bytes[1]} ${new TextDecoder().decode(bytes.subarray(2))}`.trim();
}

/** The messages of a part, with the selected one below. @param {Exchange & { webSocket: WebSocketPart }} exchange @param {Context} ctx @returns {Shown} */
export function messageList({ id, webSocket: part }, ctx) {
	const { messages, omitted } = part;
	let selected = -1;
	let opened = new AbortController();
	/** @type {Shown | null} */
	let body = null;
	const below = h("div", { class: "fills" });
	const select = (index = 0) => {
		selected = Math.max(0, Math.min(messages.length - 1, index));
		opened.abort();
		opened = new AbortController();
		body?.leave?.();
		const message = messages[selected];
		const path = `/api/v1/exchanges/${id}/body?message=${selected}`;
		const download = () => void ctx.api.download(path).catch((error) => ctx.notify("bad", error.message));
		body = bodyView(message, ctx, { label: `message ${count(selected + 1)}`, signal: opened.signal, download });
		fill(below, remarksOn(message), message.opcode === 8 ? h("p", { class: "blank" }, recorded(kindOf(message))) : body.element);
		lines.element.setAttribute("aria-activedescendant", `message-${selected}`);
		lines.draw();
		lines.reveal(selected);
	};
	const lines = new Lines({
		label: "Messages",
		look: "messages",
		role: "listbox",
		line: (index) => {
			const message = messages[index];
			const isSent = message.type === "send";
			const isText = message.opcode !== 8 && message.bodyEncoding === "utf-8";
			return h(
				"div",
				{ class: `line${index === selected ? " selected" : ""}`, role: "option", id: `message-${index}`, "aria-selected": `${index === selected}`, "aria-posinset": index + 1, "aria-setsize": messages.length, onclick: () => select(index) },
				h("span", { class: isSent ? "info" : "good" }, isSent ? "↑ sent    " : "↓ received"),
				h("span", { class: "at muted" }, time(message.time)),
				recorded(kindOf(message), { longest: 140 }),
				h("span", { class: "muted" }, size(message.bodyLength)),
				isText && recorded(message.body ?? "", { longest: PREVIEW }),
			);
		},
	});
	const said = [
		`Part ${count(part.part)} of the WebSocket opened by `,
		h("a", { href: address(["exchange", part.handshake]) }, part.handshake),
		`: ${counted(messages.length, "message")}`,
		omitted && `, ${count(omitted.messages)} more (${size(omitted.bytes)}) not recorded`,
		part.unreadableBytes && `, ${size(part.unreadableBytes)} that aren't WebSocket frames`,
		part.ended ? "; connection closed." : ".",
	];
	lines.setCount(messages.length);
	if (messages.length > 0) select(0);
	return {
		element: h("div", { class: "fills split" }, h("p", { class: "say muted" }, said), lines.element, below),
		get acts() {
			return { ...body?.acts, lines, move: (/** @type {number} */ by) => select(selected + by) };
		},
		leave: () => {
			opened.abort();
			body?.leave?.();
			lines.leave();
		},
	};
}

/** The parts of the connection that a handshake opened, found as one goes. @param {Exchange} handshake @param {Context} ctx @param {AbortSignal} signal */
export function partList(handshake, ctx, signal) {
	const list = h("ol", { class: "parts" });
	const state = h("p", { class: "say muted", role: "status" });
	const more = h("button", { class: "button small", onclick: () => void load() }, "Look further");
	let [after, found] = ["", 0];
	const load = async () => {
		more.hidden = true;
		state.textContent = "Looking for messages…";
		// What is special in a pattern stands for any character.
		const operation = handshake.operation.replace(/[*,]|^[!\\]/g, "?");
		const query = new URLSearchParams({ session: handshake.session, operation, limit: "100", [after ? "after" : "since"]: after || handshake.startedAt });
		try {
			const page = await ctx.api.get(`/api/v1/exchanges?${query}`, { signal });
			after = page.next ?? "";
			for (const { id, startedAt, webSocket: part } of /** @type {Exchange[]} */ (page.exchanges)) {
				if (part?.handshake !== handshake.id) continue;
				found++;
				if (part.ended) after = "";
				list.append(h("li", null, h("a", { href: address(["exchange", id], { tab: "messages" }) }, `Part ${count(part.part)}`), ` ${time(startedAt)}, ${counted(part.messages.length, "message")}${part.ended ? "; connection closed" : ""}`));
			}
			state.textContent = found > 0 ? "Messages are recorded in parts, each an exchange of its own." : "No messages so far.";
			more.hidden = after === "";
		} catch (error) {
			if (signal.aborted) return;
			state.textContent = `${error}`;
			more.hidden = false;
		}
	};
	void load();
	return h("div", { class: "scrolls" }, state, list, more);
}
