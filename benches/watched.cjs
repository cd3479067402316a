// What open pages cost `serve`: its memory with ten of them in headless Chromium, and without.
//
//   cargo build --profile dist
//   NODE_PATH=target/browser/node_modules node benches/watched.cjs target/dist/nightaudit /usr/bin/chromium [DATA]
//
// DATA is the data folder of a log to open them over, such as `benches/list.py --keep DATA` leaves it; without one they are over
// what a load of 5 seconds records. Some requests come in while they are open. Needs puppeteer-core and axe-core, as the
// tests in tests/browser.
"use strict";
const { Serve, pause, test, until } = require("../tests/browser/harness.cjs");
const { load, memory, say, upstream } = require("./load.cjs");

const PAGES = 10;
const data = process.argv[4];

test(async (it, folder) => {
  const mews = await upstream();
  const serve = await Serve.start(data ?? `${folder}/data`, ["--upstream", mews.url, "--limit", "1000000/30s", "--log", "warn"]);
  await load(serve, 5, data ? 50 : 2000);
  await pause(2000);
  const alone = memory(serve.process.pid);
  // Each as a browser of its own would have it: a browser opens six connections to an origin, and each page keeps one.
  const { browser } = it;
  for (let number = 0; number < PAGES; number++) {
    it.browser = await browser.createBrowserContext();
    const page = await it.open(serve, "#/traffic", { name: `page ${number + 1}` });
    await until("the list is there", () => page.$(".vlist .vrow"));
  }
  it.browser = browser;
  await load(serve, 5, 50);
  await pause(2000);
  const watched = memory(serve.process.pid);
  say("serve alone", alone, "MiB");
  say(`serve with ${PAGES} pages`, watched, "MiB");
  say("more", watched - alone, "MiB");
  mews.end();
});
