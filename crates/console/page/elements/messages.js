// What was said over a WebSocket: the messages of a part, and the parts of a connection.

import { fill, h, recorded } from "../dom.js";
import { count, counted, size, time } from "../format.js";
import { address } from "../router.js";
import { bodyView, decodedLength, fromBase64, remarksOn } from "./body.js";
import { Lines } from "./lines.js";

/** @typedef {import("./body.js").Body & { time: string, type: "send" | "receive", opcode: number }} Message */
/** @typedef {{ handshake: string, part: number, messages: Message[], omitted?: { messages: number, bytes: number }, unreadableBytes?: number, ended?: boolean }} WebSocketPart */
/** @typedef {import("../app.js").Context} Context */

/** Characters of a message on its line. */
const PREVIEW = 160;

/** @param {Message} message */
function kindOf({ opcode, body, bodyEncoding }) {
  if (opcode === 8) return closing(body, bodyEncoding);
  const name = /** @type {Record<number, string>} */ ({ 1: "text", 2: "binary", 9: "ping", 10: "pong" })[opcode];
  return name ?? `opcode ${opcode}`;
}

/** The code and reason of a close frame (RFC 6455, section 5.5.1). @param {string | null} body @param {string | null} encoding */
export function closing(body, encoding) {
  if (!body) return "close";
  const bytes = encoding === "base64" ? fromBase64(body) : new TextEncoder().encode(body);
  if (bytes.length < 2) return "close";
  return `close ${bytes[0] * 256 + bytes[1]} ${new TextDecoder().decode(bytes.subarray(2))}`.trim();
}

/**
 * The messages of a part, with the one that is selected below.
 * @param {WebSocketPart} part
 * @param {Context} ctx
 * @param {{ download: (message: number) => void }} options
 * @returns {import("./body.js").Shown}
 */
export function messageList(part, ctx, { download }) {
  const { messages } = part;
  let selected = -1;
  let opened = new AbortController();
  /** @type {import("./body.js").Shown | null} */
  let body = null;
  const below = h("div", { class: "fills message-body" });
  const lines = new Lines({ label: "Messages", look: "messages", role: "listbox", line: (index) => line(index) });

  /** @param {number} index */
  function line(index) {
    const message = messages[index];
    const isSent = message.type === "send";
    const shown = message.opcode === 8 || message.body === null || message.bodyEncoding === "base64" ? "" : message.body.slice(0, PREVIEW + 1);
    return h(
      "div",
      { class: `line${index === selected ? " selected" : ""}`, role: "option", id: `message-${index}`, "aria-selected": String(index === selected), "aria-posinset": index + 1, "aria-setsize": messages.length, onclick: () => select(index) },
      h("span", { class: isSent ? "way sent" : "way received" }, isSent ? "↑ sent" : "↓ received"),
      h("span", { class: "at muted" }, time(message.time)),
      h("span", { class: "kind" }, recorded(kindOf(message), { longest: 140 })),
      h("span", { class: "size muted" }, size(message.bodyLength)),
      h("span", { class: "mono said" }, recorded(shown, { longest: PREVIEW })),
    );
  }

  /** @param {number} index */
  function select(index) {
    if (index < 0 || index >= messages.length) return;
    selected = index;
    opened.abort();
    opened = new AbortController();
    body?.leave?.();
    const message = messages[index];
    body = bodyView(message, ctx, { label: `Message ${count(index + 1)}`, signal: opened.signal, download: () => download(index) });
    const size = decodedLength(message);
    fill(below, remarksOn(message).map((text) => h("p", { class: "say warn" }, text)), message.opcode === 8 || size === 0 ? h("p", { class: "blank" }, recorded(kindOf(message))) : body.element);
    lines.element.setAttribute("aria-activedescendant", `message-${index}`);
    lines.draw();
    lines.reveal(index);
  }

  const said = [
    `Part ${count(part.part)} of the WebSocket opened by `,
    h("a", { href: address(["exchange", part.handshake]) }, part.handshake),
    `: ${counted(messages.length, "message")}`,
    part.omitted?.messages ? `, ${count(part.omitted.messages)} more (${size(part.omitted.bytes)}) not recorded` : "",
    part.unreadableBytes ? `, ${size(part.unreadableBytes)} that aren't WebSocket frames` : "",
    part.ended ? "; connection closed." : ".",
  ];
  const element = h("div", { class: "fills split" }, h("p", { class: "say muted" }, said), lines.element, below);
  lines.setCount(messages.length);
  if (messages.length > 0) select(0);
  return {
    element,
    lines,
    move: (by) => select(Math.max(0, Math.min(messages.length - 1, selected + by))),
    step: (forwards) => body?.step?.(forwards),
    focusSearch: () => body?.focusSearch?.(),
    toggle: () => body?.toggle?.(),
    foldAll: () => body?.foldAll?.(),
    leave: () => {
      opened.abort();
      body?.leave?.();
      lines.leave();
    },
  };
}

/** Exchanges looked through for parts at a time. */
const PAGE = 100;

/**
 * The parts of the connection that a handshake opened, found as one goes.
 * @param {{ id: string, session: string, operation: string, startedAt: string }} handshake
 * @param {Context} ctx
 * @param {AbortSignal} signal
 */
export function partList(handshake, ctx, signal) {
  const list = h("ol", { class: "parts" });
  const state = h("p", { class: "say muted", role: "status" }, "Looking for messages…");
  const more = h("button", { class: "button small", type: "button", hidden: true, onclick: () => void load() }, "Look further");
  /** @type {string | null} */
  let after = "";
  let found = 0;
  const load = async () => {
    more.hidden = true;
    const query = new URLSearchParams({ session: handshake.session, operation: literal(handshake.operation), order: "oldest", limit: String(PAGE) });
    query.set(after ? "after" : "since", after || handshake.startedAt);
    try {
      const page = await ctx.api.get(`/api/v1/exchanges?${query}`, { signal });
      after = page.next;
      for (const exchange of page.exchanges) {
        /** @type {WebSocketPart | undefined} */
        const part = exchange.webSocket;
        if (part?.handshake !== handshake.id) continue;
        found++;
        const sent = part.messages.filter(({ type }) => type === "send").length;
        list.append(
          h(
            "li",
            null,
            h("a", { href: address(["exchange", exchange.id], { tab: "messages" }) }, `Part ${count(part.part)}`),
            h("span", { class: "muted" }, time(exchange.startedAt)),
            `${count(sent)} sent, ${count(part.messages.length - sent)} received`,
            part.ended ? h("span", { class: "muted" }, "connection closed") : null,
          ),
        );
        if (part.ended) after = null;
      }
      state.textContent = found > 0 ? `Messages are recorded in parts, each an exchange of its own: ${counted(found, "part")} found.` : "No messages found so far.";
      more.hidden = after === null;
    } catch (error) {
      if (signal.aborted) return;
      state.textContent = error instanceof Error ? error.message : String(error);
      more.hidden = false;
    }
  };
  void load();
  return h("div", { class: "scrolls" }, state, list, more);
}

/** A name as a pattern; what is special in one stands for any character. @param {string} name */
const literal = (name) => name.replace(/[*,]|^[!\\]/g, "?");
