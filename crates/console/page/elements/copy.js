// The clipboard, and the menu of what an exchange can be copied as.

import { h } from "../dom.js";
import { address } from "../router.js";
import { dialog } from "./dialog.js";
import { icon } from "./icon.js";

/** @typedef {import("../app.js").Context} Context */

/** How a request can be copied: `as` of the API, and its name. */
const CODE = [
  ["curl", "cURL"],
  ["httpie", "HTTPie"],
  ["fetch", "fetch"],
  ["csharp", "C# HttpClient"],
  ["python", "Python requests"],
];

/**
 * Copies a text, which may still be on its way, and says so.
 * @param {string | Promise<string>} text
 * @param {Context} ctx
 * @param {string} what `The value`: what the notice says was copied
 */
export async function copyText(text, ctx, what) {
  let ready = "";
  try {
    // A browser may only write while it remembers the click, so it is given the promise.
    const blob = Promise.resolve(text).then((text) => new Blob([(ready = text)], { type: "text/plain" }));
    if (typeof ClipboardItem === "undefined" || !navigator.clipboard?.write) throw new TypeError("no clipboard");
    await navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
  } catch {
    try {
      ready ||= await text;
    } catch (error) {
      ctx.notify("bad", error instanceof Error ? error.message : String(error));
      return;
    }
    if (!(await written(ready))) {
      // Without TLS there is no clipboard away from localhost: shown, to be copied by hand.
      const field = h("textarea", { class: "field", rows: 12, readonly: true, "aria-label": what });
      field.value = ready;
      await dialog("Copy by hand", () => ({ content: [h("p", null, "The browser allows no access to its clipboard here."), field] }));
      return;
    }
  }
  ctx.notify("good", `${what} copied.`);
}

/** @param {string} text */
async function written(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/**
 * A button that opens a list of actions.
 * @param {import("../dom.js").Children} label
 * @param {string} title
 * @param {() => [string, () => void][]} actions made anew each time it opens
 */
export function menu(label, title, actions) {
  const list = h("div", { class: "menu-list" });
  const summary = h("summary", { class: "button small", title, "aria-label": title }, label);
  const details = h("details", { class: "menu" }, summary, list);
  const close = () => {
    details.open = false;
  };
  details.addEventListener("toggle", () => {
    if (!details.open) return;
    const act = (/** @type {[string, () => void]} */ [name, run]) => {
      const chosen = () => {
        close();
        summary.focus();
        run();
      };
      return h("button", { type: "button", onclick: chosen }, name);
    };
    list.replaceChildren(...actions().map(act));
  });
  details.addEventListener("keydown", (event) => {
    if (!details.open) return;
    const buttons = [...list.querySelectorAll("button")];
    const at = buttons.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
    if (event.key === "ArrowDown") buttons[(at + 1) % buttons.length].focus();
    else if (event.key === "ArrowUp") buttons.at(at <= 0 ? -1 : at - 1)?.focus();
    else if (event.key === "Escape") {
      close();
      summary.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  details.addEventListener("focusout", (event) => {
    if (event.relatedTarget instanceof Node && !details.contains(event.relatedTarget)) close();
  });
  document.addEventListener("pointerdown", (event) => {
    if (event.target instanceof Node && !details.contains(event.target)) close();
  });
  return details;
}

/** The menu of an exchange. @param {() => string} id @param {Context} ctx */
export function copyMenu(id, ctx) {
  const path = (/** @type {string} */ as) => `/api/v1/exchanges/${encodeURIComponent(id())}/code?as=${as}`;
  return menu([icon("copy"), "Copy", icon("down")], "Copy the request as code, or its link", () => [
    ...CODE.map(([as, name]) => /** @type {[string, () => void]} */ ([`as ${name}`, () => void copyText(ctx.api.text(path(as)), ctx, `The request as ${name}`)])),
    ["Link", () => void copyText(location.origin + location.pathname + address(["exchange", id()]), ctx, "The link")],
    ["Id", () => void copyText(id(), ctx, "The id")],
  ]);
}

/** A small button that copies a text. @param {() => string} text @param {Context} ctx @param {string} what */
export function copyButton(text, ctx, what) {
  const label = `Copy ${what[0].toLowerCase()}${what.slice(1)}`;
  return h("button", { class: "button quiet small icon copy", type: "button", title: label, "aria-label": label, onclick: () => void copyText(text(), ctx, what) }, icon("copy"));
}
