// A recorded body: as JSON, text, picture, PDF or bytes, and what is to be said about it.

import { fill, h } from "../dom.js";
import { size } from "../format.js";
import { hexView } from "./hex.js";
import { NotJson, parseJson } from "./json-doc.js";
import { JsonTree } from "./json-tree.js";
import { textView } from "./text-view.js";

/** @typedef {import("../app.js").Context} Context */
/** @typedef {{ name: string, value: string }} Header */
/**
 * A body as an exchange's JSON has it.
 * @typedef {{
 *   body: string | null, bodyEncoding: "utf-8" | "base64" | null, wireBody?: string, contentEncoding?: string,
 *   bodyLength: number, bodySha256: string, storedSha256?: string, truncated: boolean, masked?: boolean, withheld?: string,
 *   undecoded?: boolean
 * }} Body
 */
/**
 * What shows a body. Not everything has all of it.
 * @typedef {{
 *   element: HTMLElement, move?: (by: number) => void, step?: (forwards: boolean) => void, focusSearch?: () => void,
 *   toggle?: () => void, foldAll?: () => void, aside?: (right: boolean) => void, copyValue?: () => void, copyPointer?: () => void,
 *   showPointer?: (pointer: string) => void, lines?: import("./lines.js").Lines, leave?: () => void
 * }} Shown
 */

const WITHHELD = /** @type {Record<string, string>} */ ({
  undecodable: "its content coding can't be decoded",
  unreadable: "it is neither text nor a known file format",
  "too-complex": "scanning it for tokens would take too long",
});

/** Media types that are shown as such, by how the file begins. @type {[string, string][]} */
const MAGIC = [
  ["image/png", "\x89PNG\r\n\x1a\n"],
  ["image/jpeg", "\xff\xd8\xff"],
  ["image/gif", "GIF8"],
  ["application/pdf", "%PDF-"],
];

/** The bytes of base64. @param {string} text */
export function fromBase64(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
  return bytes;
}

/** The media type that the first bytes tell; `null` for none that is shown. @param {Uint8Array} bytes */
export function mediaType(bytes) {
  const start = String.fromCharCode(...bytes.subarray(0, 12));
  if (start.startsWith("RIFF") && start.endsWith("WEBP")) return "image/webp";
  return MAGIC.find(([, magic]) => start.startsWith(magic))?.[0] ?? null;
}

/** The decoded length in bytes of what was recorded. @param {Body} body */
export function decodedLength({ body, bodyEncoding }) {
  if (!body) return 0;
  return bodyEncoding === "base64" ? (body.length / 4) * 3 - (body.endsWith("==") ? 2 : body.endsWith("=") ? 1 : 0) : new Blob([body]).size;
}

/** Encoded and decoded sizes in words. @param {Body} body */
export function sizes(body) {
  const encoded = body.contentEncoding !== undefined && body.body !== null && !body.undecoded;
  return encoded ? `${size(body.bodyLength)} on the wire (${body.contentEncoding}), ${size(decodedLength(body))} decoded` : size(body.bodyLength);
}

/** What must be known about a body to read it rightly. @param {Body} body */
export function remarksOn(body) {
  const remarks = [];
  if (body.withheld) remarks.push(`${size(body.bodyLength)} withheld: ${WITHHELD[body.withheld] ?? body.withheld}.`);
  else if (body.truncated) remarks.push(`Truncated: only the first ${size(recordedLength(body))} of ${size(body.bodyLength)} were recorded.`);
  if (body.undecoded) remarks.push(`Not entirely valid ${body.contentEncoding}: shown as it was received.`);
  if (body.masked) remarks.push("Values were masked before export.");
  return remarks;
}

/** How much of a body on the wire was recorded. @param {Body} body */
function recordedLength(body) {
  return body.wireBody === undefined ? decodedLength(body) : decodedLength({ ...body, body: body.wireBody, bodyEncoding: "base64" });
}

/**
 * Shows a body. What takes time appears in the element once it is ready.
 * @param {Body} body
 * @param {Context} ctx
 * @param {{ label: string, signal: AbortSignal, remarks?: import("./json-tree.js").Remark[], download?: () => void, onReady?: (shown: Shown) => void }} options
 * @returns {Shown}
 */
export function bodyView(body, ctx, { label, signal, remarks, download, onReady }) {
  const element = h("div", { class: "fills" });
  /** @type {Shown} */
  const shown = { element, leave: () => inner?.leave?.() };
  /** @type {Shown | null} */
  let inner = null;
  const tools = download && h("button", { class: "button quiet small", type: "button", title: `Download ${label.toLowerCase()}`, onclick: download }, "Download");
  /** @param {Shown} what @param {string} [why] */
  const show = (what, why) => {
    inner = what;
    Object.assign(shown, methods(what));
    fill(element, why && h("p", { class: "say muted" }, why), what.element);
    onReady?.(shown);
  };
  if (body.body === null) {
    const text = body.bodyLength === 0 ? "No body." : "The body was not recorded.";
    fill(element, h("p", { class: "blank" }, text));
  } else if (body.bodyEncoding === "base64") {
    show(bytesView(fromBase64(body.body), label, tools));
  } else {
    const text = body.body;
    if (!/^\ufeff?\s*[[{"]/.test(text)) show(textView(text, label, tools));
    else {
      fill(element, h("p", { class: "blank slow" }, "Reading…"));
      parseJson(text, { signal }).then(
        (doc) => show(new JsonTree(doc, ctx, { label, remarks, tools })),
        (error) => {
          if (signal.aborted) return;
          const why = error instanceof NotJson ? `Not shown as a tree: ${error.message} at character ${error.offset + 1}.` : String(error);
          show(textView(text, label, tools), /^\ufeff?\s*[[{]/.test(text) ? why : undefined);
        },
      );
    }
  }
  return shown;
}

/** The methods of a view, bound to it. @param {Shown} what */
function methods(what) {
  /** @type {Partial<Shown>} */
  const bound = { lines: what.lines };
  for (const name of /** @type {const} */ (["move", "step", "focusSearch", "toggle", "foldAll", "aside", "copyValue", "copyPointer", "showPointer"])) {
    const method = what[name];
    if (method) Object.assign(bound, { [name]: method.bind(what) });
  }
  return bound;
}

/**
 * Pictures and PDF as such, everything else as bytes.
 * @param {Uint8Array<ArrayBuffer>} bytes @param {string} label @param {import("../dom.js").Children} tools
 * @returns {Shown}
 */
export function bytesView(bytes, label, tools) {
  const type = mediaType(bytes);
  const hex = type === null ? hexView(bytes, label) : null;
  const url = type === null ? "" : URL.createObjectURL(new Blob([bytes], { type }));
  const said = h("span", { class: "muted grows" }, type ?? "binary data");
  const open = type === "application/pdf" && h("a", { class: "button quiet small", href: url, target: "_blank", rel: "noopener" }, "Open in a tab");
  const picture = h("div", { class: "picture", tabindex: 0, role: "region", "aria-label": label });
  if (type?.startsWith("image/")) {
    const image = h("img", { src: url, alt: label });
    image.addEventListener("load", () => said.append(`, ${image.naturalWidth} × ${image.naturalHeight} pixels`));
    image.addEventListener("error", () => fill(picture, h("p", { class: "blank" }, "The browser can't show this picture.")));
    picture.append(image);
  } else if (type) {
    picture.append(h("iframe", { src: url, title: label }));
  }
  const element = h("div", { class: "fills" }, h("div", { class: "find-bar" }, said, open, tools), hex?.element ?? picture);
  const leave = () => {
    hex?.leave();
    if (url) URL.revokeObjectURL(url);
  };
  return { element, move: hex?.move, lines: hex?.lines, leave };
}
