// Headers and cookies as tables.

import { h, recorded } from "../dom.js";
import { copyButton } from "./copy.js";

/** @typedef {import("./body.js").Header} Header */
/** @typedef {import("../app.js").Context} Context */

/** Characters of a value. */
const LONGEST = 8000;

/** @param {Header[]} headers @param {Context} ctx */
export function headerTable(headers, ctx) {
  if (headers.length === 0) return h("p", { class: "blank" }, "No headers.");
  const rows = headers.map(({ name, value }) =>
    h("tr", null, h("th", { scope: "row" }, recorded(name)), h("td", { class: "mono" }, recorded(value, { longest: LONGEST })), h("td", null, copyButton(() => value, ctx, "The value"))),
  );
  return h("table", { class: "pairs" }, h("tbody", null, rows));
}

/**
 * The cookies of headers: a request's by name and value, a response's also with what `Set-Cookie` says about them.
 * @param {Header[]} headers
 * @returns {{ name: string, value: string, attributes: string[] }[]}
 */
export function cookies(headers) {
  return headers.flatMap(({ name, value }) => {
    const kind = name.toLowerCase();
    if (kind === "cookie") return value.split(";").filter((part) => part.trim()).map((part) => ({ ...pair(part), attributes: [] }));
    if (kind !== "set-cookie") return [];
    const [first, ...rest] = value.split(";");
    return [{ ...pair(first), attributes: rest.map((part) => part.trim()).filter(Boolean) }];
  });
}

/** @param {string} part */
function pair(part) {
  const at = part.indexOf("=");
  return at < 0 ? { name: "", value: part.trim() } : { name: part.slice(0, at).trim(), value: part.slice(at + 1).trim() };
}

/** @param {Header[]} headers @param {Context} ctx */
export function cookieTable(headers, ctx) {
  const all = cookies(headers);
  if (all.length === 0) return h("p", { class: "blank" }, "No cookies.");
  const rows = all.map(({ name, value, attributes }) =>
    h(
      "tr",
      null,
      h("th", { scope: "row" }, recorded(name)),
      h("td", { class: "mono" }, recorded(value, { longest: LONGEST }), attributes.map((one) => [" ", h("span", { class: "tag" }, recorded(one, { longest: 200 }))])),
      h("td", null, copyButton(() => value, ctx, "The value")),
    ),
  );
  return h("table", { class: "pairs" }, h("tbody", null, rows));
}
