// One exchange, as a view of its own and as the pane beside the list.

import { append, fill, h, recorded } from "../dom.js";
import { contractView, noContract, remarksOf } from "../elements/contract.js";
import { copyMenu } from "../elements/copy.js";
import { icon } from "../elements/icon.js";
import { LINE } from "../elements/lines.js";
import { marks } from "../elements/marks.js";
import { messageView } from "../elements/message.js";
import { messageList, partList } from "../elements/messages.js";
import { outcomeText, overview, took } from "../elements/overview.js";
import { tabs } from "../elements/tabs.js";
import { count, dateTime, duration, size, status, statusLevel } from "../format.js";
import { address } from "../router.js";

/** @typedef {import("../app.js").Context} Context */
/** @typedef {import("../router.js").Route} Route */
/** @typedef {import("../elements/overview.js").Exchange} Exchange */
/** @typedef {import("../elements/contract.js").Contract} Contract */
/** @typedef {import("../elements/body.js").Shown} Shown */
/**
 * `query`: the filter of the list that it is beside; `onOpen`: opens another exchange; `onClose`: closes the pane;
 * `onTab`: another tab is shown.
 * @typedef {{ query?: URLSearchParams, onOpen?: (id: string) => void, onClose?: () => void, onTab?: (tab: string) => void, tab?: string | null }} PaneOptions
 */

/** What next and previous mean. */
const BY = [
  ["any", "any exchange"],
  ["operation", "same operation"],
  ["token", "same token"],
  ["error", "same error"],
];

/** Milliseconds before a slow exchange is said to be loading. */
const PATIENCE = 200;

class Pane {
  /** @type {Exchange | null} */
  #exchange = null;
  /** @type {Contract | null} */
  #contract = null;
  #contractFault = "";
  /** @type {import("../api.js").Row | null} */
  #row = null;
  /** @type {{ previous: string | null, next: string | null }} */
  #around = { previous: null, next: null };
  #loading = new AbortController();
  /** @type {Shown | null} */
  #shown = null;
  /** The part of a message that is shown. */
  #part = "body";
  #id = "";

  /** @param {Context} ctx @param {PaneOptions} options */
  constructor(ctx, options) {
    this.ctx = ctx;
    this.options = options;
    this.tabs = tabs("Exchange", (name) => {
      this.ctx.settings.set("exchange.tab", name);
      this.options.onTab?.(name);
      this.#showTab();
    });
    this.tabs.panel.tabIndex = -1;
    this.head = h("header", { class: "exchange-head" });
    this.by = h("select", { class: "field small", "aria-label": "Next and previous", onchange: () => void this.#look() }, BY.map(([value, text]) => h("option", { value }, text)));
    const step = (/** @type {"previous" | "next"} */ way, /** @type {string} */ name, /** @type {string} */ title) =>
      h("button", { class: "button small icon", type: "button", title, "aria-label": title, disabled: true, onclick: () => this.#go(way) }, icon(name));
    this.steps = { previous: step("previous", "up", "Previous exchange (K)"), next: step("next", "down", "Next exchange (J)") };
    this.mark = h("button", { class: "button small", type: "button", "aria-pressed": "false", title: "Mark, to compare (m)", onclick: () => this.#toggleMark() }, icon("mark"), "Mark");
    this.compare = h("a", { class: "button small", hidden: true }, "Compare");
    const close = options.onClose && h("button", { class: "button small icon", type: "button", title: "Close (q)", "aria-label": "Close", onclick: options.onClose }, icon("close"));
    this.whole = options.onClose ? h("a", { class: "button small icon", title: "Open on its own", "aria-label": "Open on its own" }, icon("link")) : null;
    this.tools = h(
      "div",
      { class: "exchange-tools" },
      h("span", { class: "steps" }, this.steps.previous, this.steps.next, this.by),
      this.mark,
      this.compare,
      copyMenu(() => this.#id, ctx),
      this.whole,
      close,
    );
    this.element = h("section", { class: "exchange view", "aria-label": "Exchange" }, h("div", { class: "exchange-top" }, this.head, this.tools), this.tabs.element, this.tabs.panel);
    this.unsubscribe = marks.subscribe(() => this.#sayMark());
    this.tabs.set([["overview", "Overview"], ["request", "Request"], ["response", "Response"], ["contract", "Contract"]]);
    this.tabs.select(options.tab || ctx.settings.get("exchange.tab", "overview"));
    this.removeKeys = ctx.keys.layer("In an exchange", this.#keys());
  }

  /** @param {string} id */
  async show(id) {
    if (id === this.#id) return;
    this.#id = id;
    this.#loading.abort();
    this.#loading = new AbortController();
    const { signal } = this.#loading;
    this.#around = { previous: null, next: null };
    this.#sayMark();
    if (this.whole) this.whole.href = address(["exchange", id]);
    const slow = setTimeout(() => this.element.setAttribute("aria-busy", "true"), PATIENCE);
    const path = `/api/v1/exchanges/${encodeURIComponent(id)}`;
    const { api } = this.ctx;
    try {
      const row = api.get(`${path}/row`, { signal }).catch(() => null);
      const contract = api.get(`${path}/contract`, { signal }).catch((error) => error);
      this.#exchange = /** @type {Exchange} */ (await api.get(path, { signal }));
      [this.#contract, this.#contractFault, this.#row] = [null, "", null];
      // An end of an id, or `last`, has led here.
      this.#id = this.#exchange.id;
      this.#sayMark();
      this.#sayHead();
      this.#sayTabs();
      this.#showTab();
      void this.#look();
      const [known, found] = await Promise.all([row, contract]);
      if (signal.aborted) return;
      this.#row = known;
      if (found instanceof Error) this.#contractFault = found.message;
      else this.#contract = found;
      this.#sayHead();
      this.#sayTabs();
      // What is shown already and depends on it.
      const hasFindings = this.#contract !== null && this.#contract.findings.length > 0;
      if (this.tabs.selected === "contract" || (this.tabs.selected === "overview" && known) || (this.tabs.selected === "request" && hasFindings)) this.#showTab();
    } catch (error) {
      if (!signal.aborted) this.#fail(error instanceof Error ? error.message : String(error));
    } finally {
      clearTimeout(slow);
      if (!signal.aborted) this.element.removeAttribute("aria-busy");
    }
  }

  /** @param {string} why */
  #fail(why) {
    this.#exchange = null;
    this.#leaveTab();
    fill(this.head, h("h1", null, "Exchange"), h("p", { class: "muted mono" }, recorded(this.#id, { longest: 80 })));
    const again = h("button", { class: "button", type: "button", onclick: () => this.#again() }, "Try again");
    fill(this.tabs.panel, h("div", { class: "blank" }, h("h2", null, "This exchange can't be shown."), h("p", null, recorded(why)), again));
  }

  #again() {
    const id = this.#id;
    this.#id = "";
    void this.show(id);
  }

  #sayHead() {
    const exchange = this.#exchange;
    if (!exchange) return;
    const { request, response } = exchange;
    const code = response?.status ?? null;
    const events = this.#row?.marks ?? [];
    const origin = this.#row?.origin ?? null;
    fill(
      this.head,
      h(
        "div",
        { class: "exchange-title" },
        h("span", { class: `status-tag tag ${statusLevel(code)}` }, h("span", { class: "hush" }, "Status "), status(code)),
        h("h1", null, recorded(exchange.operation, { longest: 200 })),
      ),
      h(
        "p",
        { class: "exchange-facts muted" },
        h("span", null, recorded(request.method)),
        h("span", null, dateTime(exchange.startedAt)),
        h("span", null, duration(took(exchange))),
        h("span", null, `${size(request.bodyLength)} sent`),
        response && h("span", null, `${size(response.bodyLength)} received`),
        h("a", { href: address(["run", exchange.session]) }, recorded(exchange.sessionName, { longest: 60 }), ` ${count(exchange.sequence)}`),
        events.length === 0 && exchange.outcome !== "answered" && h("b", { class: "bad", title: outcomeText(exchange) }, exchange.outcome),
        events.map((event) => h("b", { class: "bad" }, recorded(event))),
        origin && h("span", null, recorded(origin)),
      ),
    );
  }

  #sayTabs() {
    const exchange = this.#exchange;
    if (!exchange) return;
    const findings = this.#contract?.findings.length ?? 0;
    /** @type {[string, string, string?, string?][]} */
    const all = [["overview", "Overview"]];
    if (exchange.webSocket) all.push(["messages", "Messages", count(exchange.webSocket.messages.length)]);
    else if (exchange.response?.status === 101) all.push(["messages", "Messages"]);
    all.push(["request", "Request", size(exchange.request.bodyLength)]);
    all.push(["response", "Response", exchange.response ? size(exchange.response.bodyLength) : undefined]);
    all.push(["contract", "Contract", findings > 0 ? count(findings) : undefined, "finding"]);
    this.tabs.set(all);
  }

  #leaveTab() {
    this.#shown?.leave?.();
    this.#shown = null;
  }

  #showTab() {
    const exchange = this.#exchange;
    if (!exchange) return;
    this.#leaveTab();
    this.#shown = this.#tab(exchange);
    fill(this.tabs.panel, this.#shown.element);
  }

  /** @param {Exchange} exchange @returns {Shown} */
  #tab(exchange) {
    const { signal } = this.#loading;
    const { selected } = this.tabs;
    if (selected === "request" || selected === "response") {
      const onPart = (/** @type {string} */ part) => (this.#part = part);
      return messageView(selected, exchange, this.ctx, { signal, part: this.#part, onPart, remarks: selected === "request" ? remarksOf(this.#contract) : undefined });
    }
    if (selected === "contract") return this.#contract ? contractView(this.#contract, exchange, this.ctx, signal) : noContract(this.#contractFault || "Checking…");
    if (selected === "messages" && exchange.webSocket) {
      const download = (/** @type {number} */ message) => {
        const path = `/api/v1/exchanges/${encodeURIComponent(exchange.id)}/body?of=response&message=${message}`;
        this.ctx.api.download(path).catch((error) => this.ctx.notify("bad", error.message));
      };
      return messageList(exchange.webSocket, this.ctx, { download });
    }
    if (selected === "messages") return { element: partList(exchange, this.ctx, signal) };
    return { element: overview(exchange, this.ctx, { origin: this.#row?.origin ?? null }) };
  }

  /** Looks for the exchanges before and after. */
  async #look() {
    const { signal } = this.#loading;
    const query = new URLSearchParams(this.by.value === "any" ? this.options.query : undefined);
    query.delete("open");
    query.set("by", this.by.value);
    try {
      this.#around = await this.ctx.api.get(`/api/v1/exchanges/${encodeURIComponent(this.#id)}/neighbours?${query}`, { signal });
    } catch {
      this.#around = { previous: null, next: null };
    }
    if (signal.aborted) return;
    for (const way of /** @type {const} */ (["previous", "next"])) this.steps[way].disabled = this.#around[way] === null;
  }

  /** @param {"previous" | "next"} way */
  #go(way) {
    const id = this.#around[way];
    if (id === null) {
      // The newest may have one by now.
      void this.#look();
      return;
    }
    if (this.options.onOpen) this.options.onOpen(id);
    else void this.show(id);
  }

  #toggleMark() {
    if (this.#exchange) marks.toggle(this.#id);
  }

  #sayMark() {
    const isMarked = marks.has(this.#id);
    this.mark.setAttribute("aria-pressed", String(isMarked));
    fill(this.mark, icon("mark"), isMarked ? "Marked" : "Mark");
    // With the one that was marked last before.
    const other = marks.all.filter((id) => id !== this.#id).at(-1);
    this.compare.hidden = other === undefined;
    if (other !== undefined) {
      this.compare.href = address(["compare", other, this.#id]);
      this.compare.title = `Compare with the marked exchange ${other}`;
    }
  }

  /** @returns {import("../keys.js").Binding[]} */
  #keys() {
    /** Acts in the view, or with the focus in the pane. @param {(shown: Shown) => void | boolean} run */
    const here = (run) => () => {
      const isHere = !this.options.onClose || this.element.contains(document.activeElement);
      return isHere && this.#shown ? run(this.#shown) : false;
    };
    const scroll = (/** @type {number} */ lines) => here((shown) => this.#scroll(shown, lines));
    const page = (/** @type {number} */ way) => here((shown) => this.#scroll(shown, way * ((shown.lines?.fits ?? this.tabs.panel.clientHeight / LINE) - 2)));
    const all = [
      { keys: ["j", "ArrowDown"], help: "down", run: scroll(1) },
      { keys: ["k", "ArrowUp"], help: "up", run: scroll(-1) },
      { keys: [" ", "PageDown"], help: "page down", run: page(1) },
      { keys: ["b", "PageUp"], help: "page up", run: page(-1) },
      { keys: ["g", "Home"], help: "first", run: scroll(-Infinity) },
      { keys: ["G", "End"], help: "last", run: scroll(Infinity) },
      { keys: ["Enter"], help: "fold or unfold", run: here((shown) => shown.toggle?.()) },
      { keys: ["z"], help: "fold or unfold all", run: here((shown) => shown.foldAll?.()) },
      { keys: ["l", "ArrowRight"], help: "unfold, or to the right", run: here((shown) => (shown.aside ? shown.aside(true) : shown.lines?.scrollBy(0, 64))) },
      { keys: ["h", "ArrowLeft"], help: "fold, or to the left", run: here((shown) => (shown.aside ? shown.aside(false) : shown.lines?.scrollBy(0, -64))) },
      { keys: ["/"], help: "search; a JSON pointer leads to its place", run: here((shown) => (shown.focusSearch ? shown.focusSearch() : false)) },
      { keys: ["n"], help: "next match", run: here((shown) => (shown.step ? shown.step(true) : false)) },
      { keys: ["N"], help: "previous match", run: here((shown) => (shown.step ? shown.step(false) : false)) },
      { keys: ["c"], help: "copy the value", run: here((shown) => shown.copyValue?.()) },
      { keys: ["p"], help: "copy the JSON pointer", run: here((shown) => shown.copyPointer?.()) },
      { keys: ["["], help: "previous tab", run: here(() => this.tabs.move(-1, false)) },
      { keys: ["]"], help: "next tab", run: here(() => this.tabs.move(1, false)) },
      { keys: ["m"], help: "mark or unmark", run: here(() => this.#toggleMark()) },
    ];
    if (!this.options.onClose) {
      all.push({ keys: ["J"], help: "next exchange", run: here(() => this.#go("next")) }, { keys: ["K"], help: "previous exchange", run: here(() => this.#go("previous")) });
      all.push({ keys: ["q", "Escape"], help: "back to the list", run: () => this.ctx.go("#/traffic") });
    }
    return all;
  }

  /** @param {Shown} shown @param {number} lines */
  #scroll(shown, lines) {
    if (shown.move) {
      shown.move(lines);
      return;
    }
    const scrolling = this.tabs.panel.querySelector(".scrolls");
    if (!scrolling) return;
    if (Number.isFinite(lines)) scrolling.scrollTop += lines * LINE;
    else scrolling.scrollTop = lines < 0 ? 0 : scrolling.scrollHeight;
  }

  /** @param {string | null} tab */
  select(tab) {
    if (!tab || tab === this.tabs.selected) return;
    this.tabs.select(tab);
    this.#showTab();
  }

  leave() {
    this.#loading.abort();
    this.#leaveTab();
    this.unsubscribe();
    this.removeKeys();
  }
}

/**
 * The pane beside the list.
 * @param {string} id @param {Context} ctx @param {PaneOptions} [options]
 */
export function exchangePane(id, ctx, options = {}) {
  const pane = new Pane(ctx, options);
  void pane.show(id);
  return { element: pane.element, update: (/** @type {string} */ id) => void pane.show(id), leave: () => pane.leave() };
}

/** @param {Route} route @param {Context} ctx @returns {import("../router.js").View} */
export function view(route, ctx) {
  let id = route.path[1] ?? "last";
  const pane = new Pane(ctx, {
    tab: route.query.get("tab"),
    onOpen: (other) => ctx.go(address(["exchange", other])),
    onTab: (tab) => ctx.go(address(["exchange", id], { tab }), { replace: true }),
  });
  void pane.show(id);
  const element = h("div", { class: "exchange-view view" });
  append(element, [pane.element]);
  return {
    element,
    title: "Exchange",
    update: (route) => {
      id = route.path[1] ?? "last";
      void pane.show(id);
      pane.select(route.query.get("tab"));
    },
    leave: () => pane.leave(),
  };
}
