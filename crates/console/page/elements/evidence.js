// Evidence of a session: built by the console, with progress, then downloaded.

import { fill, h, prose, visible } from "../dom.js";
import { counted, count, size } from "../format.js";
import { poll } from "../poll.js";
import { copyText } from "./copy.js";
import { button, meter, muted, refill, said } from "./parts.js";

const FORMATS = /** @type {Record<string, [string, string]>} */ ({
	bundle: ["Bundle", "Report, HAR, exchanges and review in one signed file; `nightaudit verify` checks it"],
	report: ["Report", "For the reviewers, as one HTML page"],
	har: ["HAR", "HTTP archive, for browsers and HTTP tools"],
	ndjson: ["NDJSON", "Complete, one exchange per line; it can be imported again"],
	csv: ["CSV", "For spreadsheets, without headers and bodies"],
});

/**
 * @param {string} session Its id.
 * @param {Context} ctx
 * @param {boolean} [withKey] Shows the fingerprint of the signing key.
 */
export function evidence(session, ctx, withKey) {
	const leaving = new AbortController();
	const { signal } = leaving;
	const jobs = h("ul", { class: "jobs" });
	const key = h("div", { hidden: true });
	const built = h("p", { class: "hush", role: "status" });
	/** What was asked for here. @type {Set<string>} */
	const asked = new Set();
	let running = true;

	const attempt = async (/** @type {() => Promise<unknown>} */ what) => {
		try {
			await what();
			await look();
		} catch (error) {
			ctx.notify("bad", said(error));
		}
	};
	const build = (/** @type {string} */ format) => attempt(async () => asked.add((await ctx.api.send("POST", "/api/v1/evidence", { session, format })).id));

	async function look() {
		const all = /** @type {EvidenceJob[]} */ ((await ctx.api.get("/api/v1/evidence", { signal })).evidence).filter((job) => job.session === session);
		running = all.some(({ state }) => state === "running");
		refill(jobs, all.toReversed().map(row));
		for (const { id, state, format, fileName } of all) {
			if (state === "done" && asked.delete(id)) {
				// Said, not shown: a toast would cover the button to download it.
				built.textContent = `${FORMATS[format][0]} built: ${visible(fileName)}`;
				void showKey();
			}
		}
	}

	/** @param {EvidenceJob} job */
	function row({ id, format, state, exchanges, of, bytes, missing, error, fileName, fingerprint }) {
		const path = `/api/v1/evidence/${encodeURIComponent(id)}`;
		const [name] = FORMATS[format] ?? [format];
		const about = muted(`${state === "running" ? `${count(exchanges)} of ${counted(of, "exchange")}` : counted(exchanges, "exchange")}, ${size(bytes)}`, missing > 0 && `, ${count(missing)} missing`, fingerprint && `, signed by ${fingerprint}`);
		const text = state === "done" ? [h("b", { class: "mono" }, visible(fileName)), about] : state === "failed" ? [h("b", null, `${name} failed`), h("span", { class: "bad" }, visible(error ?? ""))] : [h("b", null, `Building ${name}`), meter(of ? exchanges / of : 0), about];
		return h("li", null, h("div", null, text.map((own) => h("p", null, own))),
			state === "done" && button("Download", () => attempt(() => ctx.api.download(`${path}/file`, fileName)), "small primary", { dataset: { key: `get ${id}`, job: format } }),
			button(state === "running" ? "Cancel" : "Remove", () => attempt(() => ctx.api.send("DELETE", path)), "small quiet", { dataset: { key: id } }));
	}

	async function showKey() {
		if (!withKey) return;
		const { fingerprint } = await ctx.api.get("/api/v1/key", { signal });
		key.hidden = false;
		fill(key, h("h3", null, "Fingerprint of the signing key"), fingerprint
			? [h("div", { class: "code" }, h("pre", { tabindex: 0 }, fingerprint), button("Copy", () => copyText(fingerprint, ctx, "the fingerprint"), "small")),
				h("p", { class: "hint" }, prose("Tell it to the reviewers by another way than the bundle, such as in the application. `nightaudit verify` prints the fingerprint of the key that signed a bundle: the two must be equal."))]
			: h("p", { class: "muted" }, "The first bundle makes the key."));
	}
	void showKey().catch(() => {});
	void poll(700, signal, async () => {
		if (running) await look();
	});
	return {
		element: h("section", { class: withKey ? "card evidence" : "evidence" }, h("ul", null, Object.entries(FORMATS).map(([format, [name, what]]) =>
			h("li", null, h("div", null, h("b", null, name), h("p", { class: "muted" }, prose(what))), button("Build", () => build(format), format === "bundle" ? "primary" : "", { dataset: { format }, "aria-label": `Build ${name}` })))), jobs, key, built),
		leave: () => leaving.abort(),
	};
}
