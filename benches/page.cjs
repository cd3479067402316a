// The page while exchanges come in: 2,000 a second for 60 seconds, with the page open in headless Chromium, and without.
//
//   cargo build --profile dist
//   NODE_PATH=target/browser/node_modules node benches/page.cjs target/dist/nightaudit chromium [RATE [SECONDS]]
//
// Says the longest tasks of the page's thread, its heap at the end, how late its rows are, and what the proxy did meanwhile.
// Load, upstream, proxy and browser share the machine. Needs puppeteer-core and axe-core, as the tests in tests/browser.
"use strict";
const http = require("http");
const { Serve, pause, test, until, upstream } = require("../tests/browser/harness.cjs");

const [rate, seconds] = [Number(process.argv[4] || 2000), Number(process.argv[5] || 60)];

const body = JSON.stringify({ ClientToken: "client-token-0001", AccessToken: "access-token-0001", Client: "Load 1.0" });

/** Sends so many requests a second for so long; returns how many were answered, and the 50th and 99th percentile in ms. */
async function load(serve) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
  const { hostname, port } = serve.proxy;
  const took = [];
  let failed = 0;
  const one = () =>
    new Promise((done) => {
      const start = performance.now();
      const request = http.request({ agent, hostname, port, method: "POST", path: "/api/connector/v1/configuration/get", headers: { "Content-Type": "application/json", "Content-Length": body.length } }, (response) => {
        response.resume();
        response.on("end", () => done(took.push(performance.now() - start)));
      });
      request.on("error", () => done(failed++));
      request.end(body);
    });
  const start = performance.now();
  const open = new Set();
  for (let sent = 0; performance.now() - start < seconds * 1000; ) {
    for (const due = ((performance.now() - start) / 1000) * rate; sent < due && open.size < 512; sent++) {
      const request = one().finally(() => open.delete(request));
      open.add(request);
    }
    await pause(2);
  }
  await Promise.all(open);
  agent.destroy();
  took.sort((a, b) => a - b);
  const at = (share) => took[Math.floor(took.length * share)].toFixed(1);
  return { text: `${Math.round(took.length / seconds)}/s, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, ${failed} failed`, count: took.length };
}

test(async (it, folder) => {
  const mews = await upstream(() => ({ body: '{"Enterprise":{"Name":"Hotel"}}' }));
  const serve = await Serve.start(`${folder}/data`, ["--upstream", mews.url, "--limit", "1000000/30s"]);
  console.error(`without the page  ${(await load(serve)).text}`);

  const page = await it.open(serve, "#/traffic");
  await page.evaluate(() => {
    window.tasks = [];
    new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map(({ duration }) => Math.round(duration)))).observe({ type: "longtask" });
  });
  await until("the list is there", () => page.$(".vlist .vrow"));
  const before = await page.metrics();
  const { text, count } = await load(serve);
  const end = Date.now();
  const total = () => page.$eval(".vlist", (list) => Number(list.getAttribute("aria-rowcount")));
  const recorded = (await serve.api("GET", "/api/v1/rows?limit=1")).total;
  await until(`all ${recorded} rows`, async () => (await total()) === recorded);
  const late = Date.now() - end;
  const after = await page.metrics();
  const tasks = await page.evaluate(() => window.tasks.sort((a, b) => b - a));
  console.error(`with the page     ${text}`);
  console.error(`tasks over 50 ms  ${tasks.length}, over 100 ms ${tasks.filter((ms) => ms > 100).length}, longest ${tasks[0] ?? 0} ms`);
  console.error(`busy              ${(((after.TaskDuration - before.TaskDuration) / seconds) * 100).toFixed(0)} % of a core`);
  await page.evaluate(() => new Promise((done) => setTimeout(done, 1000)));
  console.error(`heap              ${((await page.metrics()).JSHeapUsedSize / 1e6).toFixed(1)} MB after ${count} rows`);
  console.error(`rows              all, ${late} ms after the last response`);
  mews.close();
});
