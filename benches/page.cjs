// The page while exchanges come in: 2,000 a second for 60 seconds, with the page open in headless Chromium, and without.
//
//   cargo build --profile dist
//   NODE_PATH=target/browser/node_modules node benches/page.cjs target/dist/nightaudit /usr/bin/chromium [RATE [SECONDS]]
//
// Says the page's longest tasks, its heap at the end, how late its rows are, and what the proxy did meanwhile. Load, upstream,
// proxy and browser share the machine, and end by themselves. Needs puppeteer-core and axe-core, as the tests in
// tests/browser.
"use strict";
const { Serve, test, until } = require("../tests/browser/harness.cjs");
const { load, longTasks, say, upstream } = require("./load.cjs");

const [rate, seconds] = [Number(process.argv[4] || 2000), Number(process.argv[5] || 60)];

test(async (it, folder) => {
  const mews = await upstream();
  const serve = await Serve.start(`${folder}/data`, ["--upstream", mews.url, "--limit", "1000000/30s", "--log", "warn"]);
  const without = await load(serve, seconds, rate);

  const page = await it.open(serve, "#/traffic");
  await until("the list is there", () => page.$(".vlist .vrow"));
  const tasks = await longTasks(page);
  const before = await page.metrics();
  const watched = await load(serve, seconds, rate);
  const end = Date.now();
  const recorded = (await serve.api("GET", "/api/v1/rows?limit=1")).total;
  await until(`all ${recorded} rows`, () => page.$eval(".vlist", (list, total) => Number(list.getAttribute("aria-rowcount")) === total, recorded));
  const late = Date.now() - end;
  const after = await page.metrics();
  const long = await tasks();

  for (const [name, told] of [["without the page", without], ["with the page", watched]]) {
    say(`rate ${name}`, told.rate, "/s");
    say(`failed ${name}`, told.failed, "", 0);
    say(`p50 ${name}`, told.p50, "ms");
    say(`p99 ${name}`, told.p99, "ms");
  }
  say("rate with the page, compared", (watched.rate / without.rate - 1) * 100, "%");
  say("tasks of the page over 50 ms", long.length, "", 0);
  say("tasks over 100 ms", long.filter((ms) => ms > 100).length, "", 0);
  say("longest task", long[0] ?? 0, "ms", 0);
  say("busy", ((after.TaskDuration - before.TaskDuration) / seconds) * 100, "% of a core", 0);
  say("heap at the end", after.JSHeapUsedSize / 1e6, "MB");
  say("rows after the last response, all within", late, "ms", 0);
  mews.end();
});
