// What an empty log shows: how to point an integration at the proxy.

import { fill, h } from "../dom.js";
import { copyText } from "../elements/copy.js";
import { icon } from "../elements/icon.js";
import { tabs } from "../elements/tabs.js";

/** The lines per language, for the proxy's address. Tokens are the reader's own. */
const LINES = /** @type {[string, (proxy: string) => string][]} */ ([
	["cURL", (proxy) => `curl ${proxy}/api/connector/v1/configuration/get \\
  -H 'Content-Type: application/json' \\
  -d '{"ClientToken": "…", "AccessToken": "…", "Client": "My Integration 1.0.0"}'`],
	["Node", (proxy) => `const response = await fetch("${proxy}/api/connector/v1/configuration/get", {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ ClientToken: "…", AccessToken: "…", Client: "My Integration 1.0.0" }),
});`],
	["Python", (proxy) => `requests.post("${proxy}/api/connector/v1/configuration/get",
    json={"ClientToken": "…", "AccessToken": "…", "Client": "My Integration 1.0.0"})`],
	["C#", (proxy) => `var mews = new HttpClient { BaseAddress = new Uri("${proxy}/") };
var response = await mews.PostAsJsonAsync("api/connector/v1/configuration/get",
    new Dictionary<string, string> { ["ClientToken"] = "…", ["AccessToken"] = "…", ["Client"] = "My Integration 1.0.0" });`],
	["PHP", (proxy) => `$request = curl_init("${proxy}/api/connector/v1/configuration/get");
curl_setopt_array($request, [
    CURLOPT_RETURNTRANSFER => true,
    CURLOPT_HTTPHEADER => ["Content-Type: application/json"],
    CURLOPT_POSTFIELDS => json_encode(["ClientToken" => "…", "AccessToken" => "…", "Client" => "My Integration 1.0.0"]),
]);
$response = curl_exec($request);`],
	["Java", (proxy) => `var request = HttpRequest.newBuilder(URI.create("${proxy}/api/connector/v1/configuration/get"))
    .header("Content-Type", "application/json")
    .POST(BodyPublishers.ofString("""
        {"ClientToken": "…", "AccessToken": "…", "Client": "My Integration 1.0.0"}"""))
    .build();
var response = HttpClient.newHttpClient().send(request, BodyHandlers.ofString());`],
]);

/** @param {import("../app.js").Context} ctx @returns {HTMLElement} */
export function empty(ctx) {
	const element = h("div", { class: "empty" });
	ctx.api.get("/api/v1/status").then(
		(status) => fill(element, status.proxy ? pointed(ctx, status.proxy) : unserved()),
		() => fill(element, unserved()),
	);
	return element;
}

function unserved() {
	return h("div", { class: "blank" }, h("h2", null, "This log is empty"), h("p", null, "Nothing is being recorded into it: ", h("code", null, "nightaudit serve"), " does that."));
}

/** @param {import("../app.js").Context} ctx @param {{address: string, environment: string, upstream: string}} proxy */
function pointed(ctx, { address, environment, upstream }) {
	const proxy = /^https?:/.test(address) ? address.replace(/\/$/, "") : `http://${address}`;
	const text = h("pre", { tabindex: 0, "aria-label": "Example" });
	const show = (language = "") => {
		const [, line] = LINES.find(([name]) => name === language) ?? LINES[0];
		text.textContent = line(proxy);
	};
	const languages = tabs("Language", (language) => {
		ctx.settings.set("language", language);
		show(language);
	});
	languages.set(LINES.map(([name]) => [name, name]));
	languages.select(ctx.settings.get("language", ""));
	show(languages.selected);
	const copy = h("button", { class: "button small", onclick: () => void copyText(text.textContent ?? "", ctx, "The example") }, icon("copy"), "Copy");
	fill(languages.panel, h("div", { class: "code" }, text, copy));
	return [
		h("h1", null, "Nothing recorded yet"),
		h("p", null, "Point your integration at the proxy instead of Mews. Everything else stays as it is; the first request appears here."),
		h("dl", { class: "facts swap" },
			h("dt", null, "instead of"), h("dd", { class: "mono" }, upstream),
			h("dt", null, "use"), h("dd", { class: "mono strong" }, proxy)),
		h("p", { class: "muted" }, `The environment is ${environment}. Replace … with your tokens; the log keeps only pseudonyms of them.`),
		h("section", { "aria-label": "Examples" }, languages.element, languages.panel),
		h("p", { class: "muted" }, "No tokens at hand? ", h("code", null, "nightaudit simulate"), " is a Mews on your machine, and ", h("code", null, "nightaudit try"), " shows everything in half a minute."),
	];
}
