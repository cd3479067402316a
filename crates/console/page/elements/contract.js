// A request against Mews' documentation: each finding, and where in the JSON it is.

import { fill, h, recorded } from "../dom.js";
import { counted } from "../format.js";
import { bodyView } from "./body.js";

/** @typedef {{ pointer: string, message: string, expected: string | null, kind: string }} Finding */
/** @typedef {{ operation: string, known: boolean, documentation: string | null, checked: boolean, why: string | null, findings: Finding[] }} Contract */

/** Each finding as a remark at its place. @param {Contract | null} contract */
export function remarksOf(contract) {
  return (contract?.findings ?? []).map(({ pointer, message }) => ({ pointer, text: withoutPlace(message, pointer) }));
}

/** The message without the place that it may begin with. @param {string} message @param {string} pointer */
function withoutPlace(message, pointer) {
  const place = `${pointer || "body"}: `;
  return message.startsWith(place) ? message.slice(place.length) : message;
}

/**
 * @param {Contract} contract
 * @param {import("./overview.js").Exchange} exchange
 * @param {import("../app.js").Context} ctx
 * @param {AbortSignal} signal
 * @returns {import("./body.js").Shown}
 */
export function contractView(contract, exchange, ctx, signal) {
  const { findings } = contract;
  const documentation = contract.documentation?.startsWith("https://") ? contract.documentation : null;
  const verdict = !contract.known
    ? "Mews documents no such operation, so there is nothing to check."
    : !contract.checked
      ? `Not checked: ${contract.why ?? "the body was not recorded in full"}.`
      : findings.length === 0
        ? "The request is as Mews documents it."
        : `${counted(findings.length, "finding")} against Mews' documentation. A finding is a hint: the documentation contradicts itself in places.`;
  const level = !contract.known || !contract.checked ? "info" : findings.length === 0 ? "good" : "finding";
  const tree = bodyView(exchange.request, ctx, { label: "The request's body", signal, remarks: remarksOf(contract) });
  const list = h("ol", { class: "findings-at" }, findings.map(({ pointer, message, kind }) =>
    h(
      "li",
      null,
      h("button", { type: "button", title: "Show its place", onclick: () => tree.showPointer?.(pointer) }, pointer ? recorded(pointer, { class: "mono strong" }) : h("span", { class: "strong" }, "the body")),
      " ",
      recorded(withoutPlace(message, pointer), { longest: 1000 }),
      h("span", { class: "tag" }, kind),
    ),
  ));
  const head = h(
    "div",
    { class: "contract-head" },
    h("p", { class: `callout ${level}` }, verdict),
    documentation && h("p", null, h("a", { href: documentation, target: "_blank", rel: "noopener noreferrer" }, "Mews' documentation of ", recorded(contract.operation))),
    findings.length > 0 && list,
  );
  return Object.assign(tree, { element: h("div", { class: "fills contract" }, head, contract.known ? tree.element : null) });
}

/** While the contract is on its way, or can't be had. @param {string} text */
export function noContract(text) {
  return { element: fill(h("div", { class: "fills" }), h("p", { class: "blank" }, text)) };
}
