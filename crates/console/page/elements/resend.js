// Sending a recorded request again, with an editor for its body.

import { fill, h, recorded, said } from "../dom.js";
import { address } from "../router.js";
import { dialog } from "./dialog.js";
import { icon } from "./icon.js";

/**
 * What the API says about sending a request again.
 * @typedef {object} Draft
 * @property {string} id
 * @property {string | null} body
 * @property {string | null} incomplete
 * @property {{ name: string, host: string, production: boolean }[]} environments
 * @property {{ pseudonym: string, what: string }[]} missing
 * @property {boolean} accessToken
 * @property {boolean} clientToken
 */

/** The button of an exchange. @param {() => string} id @param {Context} ctx */
export function resendButton(id, ctx) {
	return h("button", { class: "button small sends", title: "Send the request again", onclick: () => void resend(id(), ctx) }, icon("play"), "Resend");
}

/** @param {string} id @param {Context} ctx */
async function resend(id, ctx) {
	/** @type {Draft} */
	let draft;
	try {
		draft = await ctx.api.get(`/api/v1/exchanges/${encodeURIComponent(id)}/resend`);
	} catch (error) {
		ctx.notify("bad", said(error));
		return;
	}
	const made = form(draft);
	await dialog(
		"Send again",
		(element) => {
			const cancel = h("button", { class: "button", onclick: () => element.close("") }, "Cancel");
			const go = h("button", { class: "button primary" }, "Send");
			go.addEventListener("click", async () => {
				const wanted = made.read();
				if (!wanted) return;
				go.disabled = true;
				try {
					const sent = await ctx.api.send("POST", `/api/v1/exchanges/${draft.id}/resend`, wanted);
					element.close("sent");
					ctx.notify(sent.status < 400 ? "good" : "bad", `Sent again: ${sent.status}`);
					location.hash = address(["exchange", sent.id]);
				} catch (error) {
					made.fail(said(error));
				} finally {
					go.disabled = false;
				}
			});
			return { content: made.element, footer: [cancel, go] };
		},
		{ wide: true },
	);
}

/** The fields of the dialog. @param {Draft} draft */
function form(draft) {
	const fault = h("p", { class: "fault", role: "alert" });
	const body = h("textarea", { class: "field mono", id: "resend-body", rows: 14, spellcheck: "false", value: draft.body ?? "" });
	const where = h("select", { class: "field", id: "resend-where" }, draft.environments.map(({ name, host }) => h("option", { value: name }, `${name} (${host})`)));
	const sure = h("input", { type: "checkbox", id: "resend-sure" });
	const production = h("p", { class: "fault", hidden: true }, sure, " ", h("label", { for: "resend-sure" }, "Send it to production, where real properties are"));
	/** @param {string} id @param {string} label @param {boolean} needed */
	const token = (id, label, needed) => {
		const input = h("input", { class: "field mono", id, type: "text", autocomplete: "off", spellcheck: "false" });
		return { input, element: needed && h("p", null, h("label", { class: "label", for: id }, label), input) };
	};
	const access = token("resend-access", "Access token", draft.accessToken);
	const client = token("resend-client", "Client token", draft.clientToken);
	const chosen = () => draft.environments.find(({ name }) => name === where.value);
	const hint = h("p", { class: "hint" });
	const show = () => {
		production.hidden = !chosen()?.production;
		const isOwn = where.value === draft.environments[0]?.name && !chosen()?.production;
		const missing = draft.missing.map(({ what }) => what).join(", ");
		fill(hint, !isOwn ? "Tokens of this environment are needed." : missing ? ["Not seen in this run, and needed: ", recorded(missing), "."] : "Tokens that this run has seen take the place of their pseudonyms; a token given here comes first.");
	};
	where.addEventListener("change", show);
	show();
	if (draft.incomplete) fault.textContent = draft.incomplete;
	return {
		element: [
			h("p", null, h("label", { class: "label", for: "resend-where" }, "Environment"), where),
			production,
			h("label", { class: "label", for: "resend-body" }, "Body"),
			body,
			access.element,
			client.element,
			hint,
			fault,
		],
		/** @param {string} why */
		fail: (why) => void (fault.textContent = why),
		/** What to send; `null` if something is missing. */
		read: () => {
			if (chosen()?.production && !sure.checked) {
				fault.textContent = "Confirm that this goes to production.";
				return null;
			}
			fault.textContent = "";
			const changed = draft.incomplete !== null || body.value !== (draft.body ?? "").replaceAll("\r\n", "\n");
			return {
				environment: where.value,
				confirm: sure.checked,
				...(changed && { body: body.value }),
				...(access.input.value && { accessToken: access.input.value }),
				...(client.input.value && { clientToken: client.input.value }),
			};
		},
	};
}
