// Addresses of views: `#/traffic?status=4xx`, `#/exchange/ID`, `#/run/SESSION`.

/** @typedef {{path: string[], query: URLSearchParams}} Route */
/** @typedef {{element: HTMLElement, title: string, update?: (route: Route) => void, leave?: () => void}} View */

/** Reads the address in a fragment. @param {string} hash @returns {Route} */
export function parse(hash) {
	const text = hash.replace(/^#?\/?/, "");
	const mark = text.indexOf("?");
	const path = (mark < 0 ? text : text.slice(0, mark)).split("/").filter(Boolean).map(decoded);
	return { path, query: new URLSearchParams(mark < 0 ? "" : text.slice(mark + 1)) };
}

/** @param {string} part */
function decoded(part) {
	try {
		return decodeURIComponent(part);
	} catch {
		return part;
	}
}

/** Writes an address: `address(["exchange", id])` is `#/exchange/ID`. @param {string[]} path @param {URLSearchParams | string[][] | Record<string, string>} [query] */
export function address(path, query) {
	const text = new URLSearchParams(query ?? "").toString();
	// Readable: what a fragment may hold as it is (RFC 3986, section 3.5) stays as it is.
	const readable = text.replace(/%(2F|3A|2C|21|2A)/gi, (escape) => decodeURIComponent(escape));
	return `#/${path.map(encodeURIComponent).join("/")}${readable ? `?${readable}` : ""}`;
}

/** Goes to an address. @param {string} hash @param {{replace?: boolean}} [options] `replace`: without an entry in the history. */
export function go(hash, options = {}) {
	const target = hash.startsWith("#") ? hash : `#${hash}`;
	if (target === location.hash) return;
	if (options.replace) {
		history.replaceState(null, "", target);
		window.dispatchEvent(new HashChangeEvent("hashchange"));
	} else {
		location.hash = target;
	}
}

/**
 * Shows the view of the address, now and whenever it changes. `open` creates the view for a route; a view that has `update`
 * is kept while the first part of the path stays.
 * @param {HTMLElement} main
 * @param {(route: Route) => Promise<View>} open
 * @param {(route: Route, view: View) => void} shown
 */
export function route(main, open, shown) {
	/** @type {{name: string, view: View} | null} */
	let current = null;
	let turn = 0;
	const show = async () => {
		const route = parse(location.hash);
		const name = route.path[0] ?? "";
		const mine = ++turn;
		if (current && current.name === name && current.view.update) {
			current.view.update(route);
			shown(route, current.view);
			return;
		}
		const view = await open(route);
		if (mine !== turn) {
			view.leave?.();
			return;
		}
		current?.view.leave?.();
		current = { name, view };
		main.replaceChildren(view.element);
		shown(route, view);
	};
	window.addEventListener("hashchange", () => void show());
	void show();
	return {
		/** Opens the current address anew. */
		reload() {
			current?.view.leave?.();
			current = null;
			void show();
		},
	};
}
