// What the console's page costs: `serve` and the proxy's rate with the page open in headless Chromium, and without.
//
//   cargo build --profile dist
//   NODE_PATH=target/browser/node_modules node benches/watched.cjs target/dist/nightaudit /usr/bin/chromium [SECONDS [RATE]]
//
// NODE_PATH has puppeteer-core; SECONDS is 60 and RATE, in requests a second, 2000 unless given. Everything runs on loopback,
// shares the machine with what measures it, and ends by itself. Figures come as lines of `name value unit`.
"use strict";
const { spawn } = require("child_process");
const fs = require("fs");
const http = require("http");
const os = require("os");
const path = require("path");
const readline = require("readline");

const CONNECTIONS = 16;
const PAGES = 10;
/** Seconds after which what hangs is given up. */
const PATIENCE = 120;
const BODY = JSON.stringify({
  ClientToken: "E0D439EE522F44368DC78E1BFB03710C-D24FB11DBE31D4621C4817E028D9E1D",
  AccessToken: "C66EF7B239D24632943D115EDE9CB810-EA00F8FD8294692C940F6B5A8F9453D",
  Client: "Sample Client 1.0.0",
  Limitation: { Count: 100 },
});
const ANSWER = JSON.stringify({ Reservations: [{ Id: "e6ea708c-2a2a-412f-a152-b6c76ffa0001", State: "Confirmed" }], Cursor: null });

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** A process of its own for each part, so that they share cores, not an event loop. */
const parts = {
  /** Answers every request until its standard input is closed. */
  upstream() {
    const server = http.createServer((request, response) => {
      request.resume().on("end", () => response.writeHead(200, { "Content-Type": "application/json" }).end(ANSWER));
    });
    server.listen(0, "127.0.0.1", () => console.log(server.address().port));
    process.stdin.resume().on("end", () => process.exit());
  },

  /** Sends `rate` requests a second for so many seconds over a few connections; says what came of it. */
  async load(port, seconds, rate) {
    const agent = new http.Agent({ keepAlive: true, maxSockets: CONNECTIONS });
    const headers = { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(BODY) };
    const options = { agent, host: "127.0.0.1", port, method: "POST", path: "/api/connector/v1/reservations/getAll/2023-06-06", headers };
    const took = [];
    let failed = 0;
    const one = () => new Promise((done) => {
      const began = performance.now();
      const request = http.request(options, (response) => {
        response.resume().on("end", () => done(took.push(performance.now() - began)));
      });
      request.on("error", () => done((failed += 1))).end(BODY);
    });
    const began = performance.now();
    const end = began + seconds * 1000;
    let sent = 0;
    const worker = async () => {
      while (performance.now() < end) {
        // In step with the clock: who is late catches up.
        const due = began + (sent++ * 1000) / rate;
        const early = due - performance.now();
        if (early > 1) await pause(early);
        await one();
      }
    };
    await Promise.all(Array.from({ length: CONNECTIONS }, worker));
    took.sort((a, b) => a - b);
    const at = (share) => took[Math.min(took.length - 1, Math.floor(took.length * share))];
    const passed = (performance.now() - began) / 1000;
    console.log(JSON.stringify({ rate: took.length / passed, failed, p50: at(0.5), p99: at(0.99) }));
    process.exit();
  },
};

function start(command, args) {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  child.ended = new Promise((done) => child.once("exit", done));
  child.lines = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return child;
}

const line = async (child) => (await child.lines.next()).value;
const part = (name, ...args) => start(process.execPath, [__filename, "--part", name, ...args.map(String)]);

async function load(proxy, seconds, rate) {
  const child = part("load", proxy.port, seconds, rate);
  const told = JSON.parse(await line(child));
  await child.ended;
  return told;
}

/** Resident memory of a process in MiB. */
function memory(child) {
  const status = fs.readFileSync(`/proc/${child.pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)[1]) / 1024;
}

/** Opens the page in a context of its own: a browser opens six connections to an origin, and each page keeps one. */
async function open(browser, address) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  await page.setViewport({ width: 1400, height: 900 });
  await page.evaluateOnNewDocument(() => {
    window.longTasks = [];
    new PerformanceObserver((list) => list.getEntries().forEach((entry) => window.longTasks.push(entry.duration))).observe({ type: "longtask" });
  });
  await page.goto(address);
  await page.waitForFunction(() => document.body.textContent.includes("getAll"), { timeout: PATIENCE * 1000 });
  return page;
}

const say = (name, value, unit) => console.log(`${name.padEnd(52)} ${Number(value).toFixed(1).padStart(10)} ${unit}`);

async function measure(binary, chromium, seconds = 60, rate = 2000) {
  const puppeteer = require("puppeteer-core");
  const data = fs.mkdtempSync(path.join(os.tmpdir(), "nightaudit-page-"));
  const upstream = part("upstream");
  let serve, browser;
  try {
    const to = `http://127.0.0.1:${await line(upstream)}`;
    serve = start(binary, ["serve", "--data", data, "--listen", "127.0.0.1:0", "--console", "127.0.0.1:0", "--upstream", to, "--on-limit", "observe", "--log", "warn"]);
    const proxy = new URL((await line(serve)).split(/\s+/)[1]);
    const address = (await line(serve)).split(/\s+/)[1];
    await load(proxy, 5, rate);

    await pause(2000);
    const alone = memory(serve);
    browser = await puppeteer.launch({ executablePath: chromium, args: ["--no-sandbox", "--disable-gpu"] });
    const pages = [];
    for (let number = 0; number < PAGES; number += 1) pages.push(await open(browser, address));
    await load(proxy, 5, 50);
    await pause(2000);
    const watched = memory(serve);
    say("serve alone", alone, "MiB");
    say(`serve with ${PAGES} pages`, watched, "MiB");
    say("more", watched - alone, "MiB");
    for (const page of pages) await page.browserContext().close();

    const without = await load(proxy, seconds, rate);
    const page = await open(browser, address);
    await page.evaluate(() => window.longTasks.splice(0));
    const withPage = await load(proxy, seconds, rate);
    const { JSHeapUsedSize, TaskDuration } = await page.metrics();
    const long = (await page.evaluate(() => window.longTasks)).sort((a, b) => a - b);
    for (const [name, told] of [["without the page", without], ["with the page", withPage]]) {
      say(`rate ${name}`, told.rate, "/s");
      say(`failed ${name}`, told.failed, "");
      say(`p50 ${name}`, told.p50, "ms");
      say(`p99 ${name}`, told.p99, "ms");
    }
    say("rate with the page, compared", (withPage.rate / without.rate - 1) * 100, "%");
    say("tasks of the page over 50 ms", long.length, "");
    say("99th percentile of these", long[Math.floor(long.length * 0.99)] || 0, "ms");
    say("longest", long.at(-1) || 0, "ms");
    say("time in tasks, of the page's life", TaskDuration, "s");
    say("heap at the end", JSHeapUsedSize / 2 ** 20, "MiB");
  } finally {
    if (browser) await browser.close();
    upstream.stdin.end();
    if (serve) {
      serve.kill("SIGTERM");
      await serve.ended;
    }
    fs.rmSync(data, { recursive: true, force: true });
  }
}

const [first, name, ...rest] = process.argv.slice(2);
if (first === "--part") parts[name](...rest.map(Number));
else if (!name) console.error("usage: node benches/watched.cjs BINARY CHROMIUM [SECONDS [RATE]]");
else {
  const [seconds = 60, rate = 2000] = rest.map(Number);
  // Two loads, ten pages and what each of them may take.
  setTimeout(() => process.exit(1), (2 * seconds + 4 * PATIENCE) * 1000).unref();
  measure(path.resolve(first), name, seconds, rate).catch((error) => {
    console.error(error);
    process.exitCode = 1;
  });
}
