// The declaration of a session, as a form and as TOML. It is stored with the session: `review`, report and bundle use it.

import { fill, h, prose } from "../dom.js";
import { declarationForm } from "./declaration-form.js";
import { confirm } from "./dialog.js";
import { button, card, said } from "./parts.js";

/** What was typed and not saved, by session: it outlives the view. @type {Map<string, {form: Declaration, toml: string, mode: string}>} */
const drafts = new Map();

/**
 * @param {string} session Its id.
 * @param {Context} ctx
 * @param {Catalogue} catalogue
 */
export function declaration(session, ctx, catalogue) {
	const path = `/api/v1/sessions/${encodeURIComponent(session)}/declaration`;
	/** @type {StoredDeclaration | null} */
	let stored = null;
	let mode = ctx.settings.get("declaration", "form");
	let dirty = false;
	let readOnly = false;

	const text = h("textarea", { class: "field", "aria-label": "Declaration as TOML", rows: 24, spellcheck: "false", autocomplete: "off", autocapitalize: "off", oninput: () => touched() });
	const place = h("fieldset", { "aria-label": "Declaration" });
	const fault = h("p", { class: "fault", role: "alert" });
	const state = h("span", { role: "status" });
	const modes = [["form", "Form"], ["toml", "TOML"]].map(([name, title]) => button(title, () => change(name), "small", { dataset: { mode: name } }));
	const save = button("Save", () => store(), "primary changes");
	const undo = button("Discard changes", () => stored && load(stored));
	const start = button("Start from what was called", () => begin(), "changes");
	const download = button("Download certification.toml", () => ctx.api.download(`${path}.toml`, "certification.toml").catch(say));
	const remove = button("Remove", () => drop(), "quiet changes");
	const form = declarationForm(catalogue, touched);

	/** @param {unknown} error */
	function say(error) {
		fault.textContent = said(error);
		const line = Number(/\bline (\d+)/.exec(fault.textContent)?.[1]);
		if (!line || mode === "form") return;
		const lines = text.value.split("\n");
		const from = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
		text.focus();
		text.setSelectionRange(from, from + (lines[line - 1]?.length ?? 0));
		text.scrollTop = (line - 6) * 20;
	}
	function touched() {
		dirty = true;
		drafts.set(session, { mode, form: form.value(), toml: text.value });
		paint();
	}
	function paint() {
		// Text can still be selected.
		place.disabled = readOnly && mode === "form";
		text.readOnly = readOnly;
		for (const own of modes) own.setAttribute("aria-pressed", String(own.dataset.mode === mode));
		save.disabled = undo.hidden = !dirty;
		undo.hidden = !dirty;
		download.hidden = remove.hidden = !stored?.toml;
		start.hidden = Boolean(stored?.toml || dirty || !stored?.template);
		state.textContent = dirty ? "Not saved" : stored?.toml ? "Saved with the session" : "Nothing is declared yet";
		state.className = dirty ? "warn" : "muted";
	}
	function show() {
		fill(place, mode === "form" ? form.element : text);
		paint();
	}
	/** @param {StoredDeclaration} now */
	function load(now) {
		stored = now;
		dirty = false;
		drafts.delete(session);
		text.value = now.toml;
		form.set(now.declaration ?? {});
		// What the form can't show is shown as text.
		if (now.error) mode = "toml";
		fault.textContent = now.error ?? "";
		show();
	}
	async function put(/** @type {{toml: string} | {declaration: Declaration}} */ body) {
		fault.textContent = "";
		try {
			load(await ctx.api.send("PUT", path, body));
			ctx.notify("good", "The declaration is stored with the session");
		} catch (error) {
			say(error);
		}
	}
	const store = () => put(mode === "form" ? { declaration: form.value() } : { toml: text.value });
	async function change(/** @type {string} */ to) {
		// What was changed must be valid before it can be shown the other way.
		if (to !== mode && dirty) await store();
		if (to === mode || dirty) return;
		mode = to;
		ctx.settings.set("declaration", to);
		show();
	}
	function begin() {
		mode = "toml";
		text.value = stored?.template ?? "";
		show();
		touched();
		text.focus();
	}
	async function drop() {
		if (await confirm({ title: "Remove the declaration", text: "The review, the report and the bundle then know nothing of what the integration declares.", action: "Remove", danger: true })) await put({ toml: "" });
	}
	/** Changes the form, once it is loaded. @param {() => void} edit */
	const inForm = async (edit) => {
		await loaded;
		await change("form");
		if (mode !== "form") return;
		edit();
		touched();
	};
	const loaded = Promise.all([ctx.api.get(path), ctx.api.get("/api/v1/status")]).then(([now, status]) => {
		readOnly = status.readOnly;
		const draft = drafts.get(session);
		load(now);
		if (!draft) return;
		mode = draft.mode;
		form.set(draft.form);
		text.value = draft.toml;
		show();
		touched();
	}).catch(say);

	const element = card("Declaration", h("div", { class: "row", role: "group", "aria-label": "Edit as" }, modes),
		h("div", { class: "body" }, h("p", { class: "muted" }, prose("What the integration states when it applies for certification. `nightaudit review`, the report and the bundle use it.")), h("p", { class: "muted reads" }, prose("Edit it where the session is recorded, as with `nightaudit sessions declare`.")), fault, place),
		h("footer", { class: "row" }, save, undo, state, h("span", { class: "spacer" }), start, download, remove));
	return {
		element,
		/** @param {string[]} names */
		declare: (names) => inForm(() => form.declare(names)),
		/** @param {string} rule @param {string | null} operation */
		change: (rule, operation) => inForm(() => form.change(rule, operation)),
		/** Takes over what was stored elsewhere, unless something is being edited. */
		async refresh() {
			if (dirty) return;
			const now = await ctx.api.get(path);
			if (!dirty && now.toml !== stored?.toml) load(now);
		},
	};
}
