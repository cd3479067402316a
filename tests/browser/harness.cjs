// What the page's tests share: an upstream, a `serve` before it, and Chromium with the page open.
//
//   NODE_PATH=FOLDER/node_modules node TEST.cjs BINARY CHROMIUM [PICTURES]
//
// NODE_PATH has puppeteer-core and axe-core. A test prints a line for each thing that is wrong, and fails if there is one.
// Pictures of what it saw go into the folder PICTURES.
"use strict";
const { spawn } = require("child_process");
const fs = require("fs");
const http = require("http");
const os = require("os");
const path = require("path");
const readline = require("readline");
const axe = require("axe-core");
const puppeteer = require("puppeteer-core");

const [binary, chromium, pictures] = process.argv.slice(2);

/** The longest that anything may take, in milliseconds: for a machine that does ten things at once. */
const PATIENCE = 30_000;

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Waits until `holds` returns something true, and returns that. */
async function until(what, holds) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const result = await holds();
    if (result) return result;
    if (Date.now() > end) throw new Error(`not after ${PATIENCE / 1000} s: ${what}`);
    await pause(50);
  }
}

/** An HTTP server that answers every request with what `answer` returns: `{status, headers, body}`. */
async function upstream(answer) {
  const server = http.createServer((request, response) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      const { status = 200, headers = {}, body = "{}" } = answer(request, Buffer.concat(parts).toString()) || {};
      response.writeHead(status, { "Content-Type": "application/json", "Request-Id": "00-test-01", ...headers });
      response.end(body);
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => (server.close(), server.closeAllConnections()) };
}

/** A port that nothing listens on. */
async function freePort() {
  const server = http.createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/** A running `serve`; `arguments` come on top of its addresses and data folder. */
class Serve {
  static async start(data, given) {
    const serve = new Serve();
    serve.data = data;
    serve.given = given;
    await serve.run("127.0.0.1:0", "127.0.0.1:0");
    return serve;
  }

  async run(listen, console) {
    const args = ["serve", "--data", this.data, "--listen", listen, "--console", console, ...this.given];
    this.process = spawn(binary, args, { stdio: ["ignore", "pipe", "pipe"] });
    this.ended = new Promise((done) => this.process.once("exit", done));
    let said = "";
    this.process.stderr.on("data", (part) => (said = (said + part).slice(-4000)));
    const lines = readline.createInterface({ input: this.process.stdout });
    const addresses = await new Promise((done, fail) => {
      const found = {};
      lines.on("line", (line) => {
        const [, name, address] = /^(proxy|console)\s+(\S+)/.exec(line) || [];
        if (name) found[name] = address;
        if (found.proxy && found.console) done(found);
      });
      this.process.once("exit", () => fail(new Error(`serve ended: ${said}`)));
    });
    this.proxy = new URL(addresses.proxy);
    this.address = addresses.console;
    this.origin = new URL(addresses.console).origin;
    this.token = /token=([^&]+)/.exec(addresses.console)[1];
  }

  async stop() {
    this.process.kill("SIGTERM");
    await this.ended;
  }

  /** Starts it again, at the same addresses. */
  async again() {
    await this.run(this.proxy.host, new URL(this.origin).host);
  }

  /** Sends a call of an operation through the proxy; returns the status. */
  call(operation, body = {}, headers = {}) {
    const text = typeof body === "string" ? body : JSON.stringify({ ClientToken: "client-token-0001", AccessToken: "access-token-0001", Client: "Acme 1.0", ...body });
    const { hostname, port } = this.proxy;
    return new Promise((done, fail) => {
      const request = http.request({ hostname, port, method: "POST", path: `/api/connector/v1/${operation}`, headers: { "Content-Type": "application/json", ...headers } }, (response) => {
        response.resume();
        response.on("end", () => done(response.statusCode));
        response.on("error", fail);
      });
      request.on("error", fail);
      request.end(text);
    });
  }

  /** What the API has at a path. */
  async api(method, address, body) {
    const options = { method, headers: { Authorization: `Bearer ${this.token}`, "Content-Type": "application/json" }, body: body === undefined ? undefined : JSON.stringify(body) };
    const response = await fetch(this.origin + address, options);
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${address}: ${response.status} ${text}`);
    return text ? JSON.parse(text) : null;
  }
}

/** Lets the browser have the page's files from a folder instead of the program: for work on them, without a build. */
async function fromFolder(page, origin, folder) {
  await page.setRequestInterception(true);
  page.on("request", async (request) => {
    const url = new URL(request.url());
    const name = url.origin !== origin ? null : url.pathname === "/" ? "index.html" : /^\/page\/(.*)$/.exec(url.pathname)?.[1];
    if (!name) return request.continue();
    const { headers } = await fetch(`${origin}/page/index.html`);
    const file = path.join(folder, name);
    const type = { html: "text/html", js: "text/javascript", css: "text/css" }[name.split(".").pop()];
    const answer = fs.existsSync(file) ? { status: 200, body: fs.readFileSync(file) } : { status: 404, body: "" };
    return request.respond({ ...answer, headers: { "content-security-policy": headers.get("content-security-policy"), "content-type": `${type}; charset=utf-8` } });
  });
}

class Test {
  wrong = [];

  expect(holds, what) {
    if (!holds) this.wrong.push(what);
  }

  /** Like `expect`, of what a page draws in its own time: `holds` may become true, and `what` says what is there instead. */
  async sees(holds, what) {
    const end = Date.now() + PATIENCE;
    while (!(await holds())) {
      if (Date.now() > end) return this.wrong.push(await what());
      await pause(20);
    }
  }

  /** Opens a page at a part of the console's address, with everything watched that must not happen. */
  async open(serve, hash = "", { width = 1400, height = width < 600 ? 844 : 900, scheme = "light", name = `${width}-${scheme}`, token = true } = {}) {
    const page = await this.browser.newPage();
    const say = (what) => this.wrong.push(`${name}: ${what}`);
    page.allowed = [];
    // Also what the policy forbids: browsers say that there.
    page.on("console", (message) => {
      const said = `${message.text()} ${message.location().url ?? ""}`;
      if (!page.allowed.some((allowed) => allowed.test(said))) say(`console: ${said}`);
    });
    page.on("pageerror", (error) => say(`error: ${error.stack || error}`));
    page.on("dialog", (dialog) => {
      say(`dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
    page.on("request", (request) => {
      const { origin, protocol } = new URL(request.url());
      if (origin !== serve.origin && /^(http|ws)s?:$/.test(protocol)) say(`it asked for ${request.url()}`);
      // Without the fragment, which isn't sent.
      if (request.url().split("#")[0].includes(serve.token)) say(`the token is in ${request.url().replace(serve.token, "…")}`);
    });
    if (process.env.PAGE_FOLDER) await fromFolder(page, serve.origin, process.env.PAGE_FOLDER);
    await page.setViewport({ width, height });
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    if (token) await page.evaluateOnNewDocument((origin, token) => location.origin === origin && localStorage.setItem("nightaudit.token", token), serve.origin, serve.token);
    await page.goto(`${serve.origin}/${hash}`);
    return page;
  }

  /** Looks at a page as it is now: its width, what axe finds, a picture. */
  async look(page, name) {
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    const wide = await page.evaluate(() =>
      [document.documentElement, ...document.querySelectorAll("main, main > *, main > * > *, .list-blank, dialog[open], dialog[open] .content")]
        // Tabs may be scrolled.
        .filter((element) => element.scrollWidth > element.clientWidth && element.clientWidth > 0 && getComputedStyle(element).display !== "inline" && !element.matches(".tabs, .hush"))
        .map((element) => `${element.tagName}.${element.className} ${element.scrollWidth} of ${element.clientWidth}`));
    this.expect(wide.length === 0, `${name}: wider than its place: ${wide}`);
    // A script element of the page may not hold text, and the policy allows no other: axe comes over the debugger.
    await page.evaluate(axe.source);
    const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    for (const fault of found.violations.filter(({ impact }) => impact === "serious" || impact === "critical")) {
      const where = fault.nodes.slice(0, 3).map((node) => `${node.target} ${node.failureSummary.replace(/\s+/g, " ")}`);
      this.wrong.push(`${name}: ${fault.impact}: ${fault.id}: ${where.join(" | ").slice(0, 600)}`);
    }
    if (pictures) await page.screenshot({ path: path.join(pictures, `${name}.png`) });
  }
}

/** Runs a test: `run(test, folder)`, with a folder that is removed afterwards. */
function test(run) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "nightaudit-page-"));
  const it = new Test();
  const children = new Set();
  const start = Serve.start;
  Serve.start = async (...given) => {
    const serve = await start(...given);
    children.add(serve);
    return serve;
  };
  (async () => {
    it.browser = await puppeteer.launch({ executablePath: chromium, args: ["--no-sandbox", "--disable-gpu"] });
    try {
      await run(it, folder);
    } finally {
      await it.browser.close();
    }
  })()
    .catch((error) => it.wrong.push(error.stack || String(error)))
    .finally(async () => {
      for (const serve of children) {
        serve.process.kill("SIGTERM");
        await serve.ended;
      }
      fs.rmSync(folder, { recursive: true, force: true });
      for (const line of it.wrong) console.log(line);
      process.exit(it.wrong.length ? 1 : 0);
    });
}

module.exports = { Serve, freePort, binary, pause, test, until, upstream };
