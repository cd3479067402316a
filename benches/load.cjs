// What the measurements of the page share: an upstream and a load that are processes of their own, and a page whose long
// tasks are counted. See page.cjs and watched.cjs.
"use strict";
const { spawn } = require("child_process");
const fs = require("fs");
const http = require("http");
const readline = require("readline");

const CONNECTIONS = 64;
const BODY = JSON.stringify({ ClientToken: "client-token-0001", AccessToken: "access-token-0001", Client: "Load 1.0", Limitation: { Count: 100 } });
const RESPONSE = JSON.stringify({ Reservations: [{ Id: "e6ea708c-2a2a-412f-a152-b6c76ffa0001", State: "Confirmed" }], Cursor: null });

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** A process of its own for each part, so that they share cores, not an event loop. */
const parts = {
  /** Responds to every request until its standard input is closed. */
  upstream() {
    const server = http.createServer((request, response) => {
      request.resume().on("end", () => response.writeHead(200, { "Content-Type": "application/json" }).end(RESPONSE));
    });
    server.listen(0, "127.0.0.1", () => console.log(server.address().port));
    process.stdin.resume().on("end", () => process.exit());
  },

  /** Sends `rate` requests a second for so many seconds; says what came of it. */
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
        // In step with the clock: whoever is late catches up.
        const early = began + (sent++ * 1000) / rate - performance.now();
        if (early > 1) await pause(early);
        if (performance.now() < end) await one();
      }
    };
    await Promise.all(Array.from({ length: CONNECTIONS }, worker));
    took.sort((a, b) => a - b);
    const at = (share) => took[Math.min(took.length - 1, Math.floor(took.length * share))];
    const passed = (performance.now() - began) / 1000;
    console.log(JSON.stringify({ rate: took.length / passed, count: took.length, failed, p50: at(0.5), p99: at(0.99) }));
    process.exit();
  },
};

function start(name, ...args) {
  const child = spawn(process.execPath, [__filename, name, ...args.map(String)], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return { line: async () => (await lines.next()).value, end: () => child.stdin.end() };
}

/** An upstream in a process of its own: `{url, end}`. */
async function upstream() {
  const { line, end } = start("upstream");
  return { url: `http://127.0.0.1:${await line()}`, end };
}

/** Loads the proxy of a `serve`; returns `{rate, count, failed, p50, p99}`, in requests a second and milliseconds. */
const load = async (serve, seconds, rate) => JSON.parse(await start("load", serve.proxy.port, seconds, rate).line());

/** Resident memory of a process in MiB. */
const memory = (pid) => Number(/^VmRSS:\s+(\d+) kB/m.exec(fs.readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1024;

/** Counts the tasks of a page that take more than 50 ms; returns a function that returns their lengths in ms, longest first. */
async function longTasks(page) {
  await page.evaluate(() => {
    window.longTasks = [];
    new PerformanceObserver((list) => list.getEntries().forEach(({ duration }) => window.longTasks.push(duration))).observe({ type: "longtask" });
  });
  return () => page.evaluate(() => window.longTasks.sort((a, b) => b - a));
}

const say = (name, value, unit = "", digits = 1) => console.error(`${name.padEnd(40)} ${Number(value).toFixed(digits).padStart(10)} ${unit}`);

module.exports = { load, longTasks, memory, say, upstream };

if (require.main === module) {
  const [name, ...args] = process.argv.slice(2);
  parts[name](...args.map(Number));
}
