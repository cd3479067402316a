// A request or a response: body, headers, cookies, and as it was on the wire.

import { fill, h, recorded, visible } from "../dom.js";
import { count, size } from "../format.js";
import { bodyView, bytesView, decodedLength, fromBase64, remarksOn, sizes } from "./body.js";
import { cookies, cookieTable, headerTable } from "./headers.js";
import { hexView } from "./hex.js";
import { tabs } from "./tabs.js";
import { textView } from "./text-view.js";

/** @typedef {import("./body.js").Shown} Shown */

/**
 * @param {"request" | "response"} which
 * @param {import("./overview.js").Exchange} exchange
 * @param {import("../app.js").Context} ctx
 * @param {{ signal: AbortSignal, part: string, onPart: (part: string) => void, remarks?: import("./json-tree.js").Remark[] }} options
 * @returns {Shown}
 */
export function messageView(which, exchange, ctx, { signal, part, onPart, remarks }) {
  const message = exchange[which];
  if (!message) return { element: h("div", { class: "fills" }, h("p", { class: "blank" }, "No response.")) };
  const label = which === "request" ? "The request's body" : "The response's body";
  const download = (decoded = true) => {
    const path = `/api/v1/exchanges/${encodeURIComponent(exchange.id)}/body?of=${which}${decoded ? "&decoded=true" : ""}`;
    ctx.api.download(path).catch((error) => ctx.notify("bad", error.message));
  };
  /** @type {Shown} */
  const shown = { element: h("div", { class: "fills" }) };
  /** @type {Shown | null} */
  let inner = null;
  const parts = tabs(which === "request" ? "Request" : "Response", (name) => {
    onPart(name);
    show();
  }, "inner");
  const all = cookies(message.headers);
  parts.set([["body", "Body"], ["headers", "Headers", count(message.headers.length)], ["cookies", "Cookies", all.length > 0 ? count(all.length) : undefined], ["wire", "On the wire"]]);
  parts.select(part);

  const make = () => {
    if (parts.selected === "headers") return plain(headerTable(message.headers, ctx), "Headers");
    if (parts.selected === "cookies") return plain(cookieTable(message.headers, ctx), "Cookies");
    if (parts.selected === "wire") return wireView(which, exchange, () => download(false));
    return bodyView(message, ctx, { label, signal, remarks, download: message.body === null ? undefined : () => download(), onReady: adopt });
  };
  /** @param {Shown} view */
  const adopt = (view) => {
    inner = view;
    for (const name of /** @type {const} */ (["move", "step", "focusSearch", "toggle", "foldAll", "aside", "copyValue", "copyPointer", "showPointer", "lines"])) {
      Object.assign(shown, { [name]: view[name] });
    }
  };
  const show = () => {
    inner?.leave?.();
    const view = make();
    adopt(view);
    fill(parts.panel, remarksOn(message).map((text) => h("p", { class: "say warn" }, text)), view.element);
  };
  const first =
    which === "request"
      ? [h("b", null, recorded(exchange.request.method)), " ", recorded(exchange.request.url, { longest: 2000 })]
      : [h("b", null, String(exchange.response?.status)), " ", recorded(exchange.response?.reason ?? "")];
  shown.element.append(h("div", { class: "message-head" }, h("p", { class: "mono first" }, first), h("p", { class: "muted sizes" }, sizes(message))), parts.element, parts.panel);
  shown.leave = () => inner?.leave?.();
  show();
  return shown;
}

/** @param {HTMLElement} content @param {string} label @returns {Shown} */
function plain(content, label) {
  return { element: h("div", { class: "scrolls", tabindex: 0, role: "region", "aria-label": label }, content) };
}

/**
 * A message as it was sent: in HTTP/1 syntax, whatever its version, with the body not decoded.
 * @param {"request" | "response"} which
 * @param {import("./overview.js").Exchange} exchange
 * @param {() => void} download
 * @returns {Shown}
 */
function wireView(which, exchange, download) {
  const { request, response } = exchange;
  const message = which === "request" || !response ? request : response;
  const target = request.url.replace(/^[^/]*\/\/[^/?#]*/, "") || "/";
  const start =
    which === "request" || !response ? `${request.method} ${target} ${request.httpVersion}` : `${response.httpVersion} ${response.status} ${response.reason ?? ""}`.trimEnd();
  const head = [start, ...message.headers.map(({ name, value }) => `${name}: ${value}`)].join("\r\n");
  const note = h("p", { class: "say muted" }, "In HTTP/1 syntax, with tokens as pseudonyms.");
  if (message.body !== null && (message.wireBody !== undefined || message.bodyEncoding === "base64")) {
    const bytes = fromBase64(message.wireBody ?? message.body);
    const hex = message.wireBody === undefined ? bytesView(bytes, "The body on the wire", null) : hexView(bytes, "The body on the wire");
    const text = h("pre", { class: "wire-head", tabindex: 0, role: "region", "aria-label": "The head" }, recorded(head, { longest: 70_000, lines: true }));
    const kept = h("p", { class: "say muted" }, `${size(bytes.length)} of ${visible(message.contentEncoding ?? "binary data")} follow`, message.wireBody !== undefined && ` (decoded ${size(decodedLength(message))})`, ".");
    return { element: h("div", { class: "fills" }, note, text, kept, hex.element), move: hex.move, lines: hex.lines, leave: hex.leave };
  }
  const tools = message.body !== null && h("button", { class: "button quiet small", type: "button", onclick: download }, "Download");
  const text = textView(`${head}\r\n\r\n${message.body ?? ""}`, `the ${which} on the wire`, tools);
  return { ...text, element: h("div", { class: "fills" }, note, text.element) };
}
