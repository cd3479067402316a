// The HAR that Chromium's network panel writes of a page's requests.
//
// node har.cjs CHROMIUM ADDRESS FILE
//
// Opens ADDRESS with the developer tools attached, waits until the page says `done`, and writes FILE as the panel's export does.
// NODE_PATH has puppeteer-core.
"use strict";
const fs = require("fs");
const puppeteer = require("puppeteer-core");

const [chromium, address, file] = process.argv.slice(2);

/** Waits poll by a timer: a page behind another is not drawn, so it has no animation frames. */
const PATIENTLY = { timeout: 60_000, polling: 100 };

(async () => {
  const browser = await puppeteer.launch({ executablePath: chromium, args: ["--no-sandbox", "--disable-gpu", "--remote-allow-origins=devtools://devtools"], protocolTimeout: 120_000 });
  try {
    const page = await browser.newPage();
    const { host } = new URL(browser.wsEndpoint());
    const tools = await browser.newPage();
    const id = page.target()._targetId;
    await tools.goto(`devtools://devtools/bundled/devtools_app.html?ws=${host}/devtools/page/${id}`);
    // Requests are logged once `Network.enable` is answered, and the browser answers in order.
    await tools.waitForFunction(async () => {
      const sdk = await import("devtools://devtools/bundled/core/sdk/sdk.js");
      const target = sdk.TargetManager.TargetManager.instance().primaryPageTarget();
      return target?.model(sdk.NetworkManager.NetworkManager) && (await target.runtimeAgent().invoke_evaluate({ expression: "1" })).result?.value === 1;
    }, PATIENTLY);
    await page.goto(address);
    await page.waitForFunction(() => document.title === "done", PATIENTLY);
    const har = await tools.evaluate(async () => {
      const [logs, har] = await Promise.all([
        import("devtools://devtools/bundled/models/logs/logs.js"),
        import("devtools://devtools/bundled/models/har/har.js"),
      ]);
      const requests = logs.NetworkLog.NetworkLog.instance().requests();
      const text = { written: "" };
      const stream = { write: async (part) => void (text.written += part), close: async () => {} };
      const progress = { setTotalWork() {}, setTitle() {}, setWorked() {}, incrementWorked() {}, isCanceled: () => false, done() {}, createSubProgress: () => progress };
      await har.Writer.Writer.write(stream, requests, { sanitize: false }, progress);
      return text.written;
    });
    fs.writeFileSync(file, har);
  } finally {
    await browser.close();
  }
})().catch((error) => {
  console.log(error.stack);
  process.exit(1);
});
