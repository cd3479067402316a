// Evidence built on the page, which `verify` accepts; and an export that is dropped on the page of another console.
"use strict";
const { spawnSync } = require("child_process");
const fs = require("fs");
const path = require("path");
const { command, row, says, text } = require("./actions.cjs");
const { Serve, binary, test, until, upstream } = require("./harness.cjs");

/** A bundle built on the page passes `verify`, which prints the fingerprint that the page shows. */
async function evidence(it, serve, folder) {
  const page = await it.open(serve, "#/run?tab=evidence", { name: "evidence" });
  const client = await page.createCDPSession();
  await client.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: folder });
  for (const format of ["bundle", "report", "har"]) {
    await page.waitForSelector(`[data-format=${format}]`);
    await page.click(`[data-format=${format}]`);
    await page.waitForSelector(`[data-job=${format}]`, { timeout: 60_000 });
    await page.click(`[data-job=${format}]`);
  }
  const file = (end) => until(`${end} is downloaded`, () => fs.readdirSync(folder).find((name) => name.endsWith(end)));
  const bundle = path.join(folder, await file(".zip"));
  const { stdout, status } = spawnSync(binary, ["verify", bundle], { encoding: "utf8" });
  it.expect(status === 0, `verify: ${status} ${stdout}`);
  const fingerprint = await text(page, ".evidence pre");
  it.expect(fingerprint.length > 20 && stdout.includes(fingerprint), `the fingerprint on the page is ${fingerprint}, and verify says ${stdout}`);
  it.expect(fs.readFileSync(path.join(folder, await file(".html")), "utf8").includes("sent to see the error page"), "the report has the declaration's reason");
  it.expect(JSON.parse(fs.readFileSync(path.join(folder, await file(".har")), "utf8")).log.entries.length > 10, "the HAR has the exchanges");
  for (const [width, scheme] of [[1400, "light"], [1400, "dark"], [390, "light"], [390, "dark"]]) {
    const page = await it.open(serve, "#/run?tab=evidence", { width, scheme, name: `evidence-${width}-${scheme}` });
    await page.waitForSelector("[data-job]");
    await it.look(page, `evidence-${width}-${scheme}`);
    await page.close();
  }
  await page.close();
}

/** Drops a file on the page, as a person would. */
const drop = (page, name, content) =>
  page.evaluate((name, content) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([content], name));
    for (const kind of ["dragover", "drop"]) document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }, name, content);

async function imports(it, serve, other, folder) {
  const file = path.join(folder, "certification.ndjson");
  const { stderr, status } = command(serve, "export", "--session", "certification", "--format", "ndjson", "-o", file);
  it.expect(status === 0, `export: ${stderr}`);
  const page = await it.open(other, "#/sessions", { name: "import" });
  page.allowed.push(/400|409|422/);
  await page.waitForSelector(".drop");
  await drop(page, "junk.ndjson", "this is no export\n");
  await says(page, ".toast", /the format is unknown/);
  await drop(page, "certification.ndjson", fs.readFileSync(file, "utf8"));
  await until("the session is imported", async () => /imported/.test(await row(page, "certification")));
  await page.waitForSelector("tbody input");

  // A HAR of another tool: marked, and what was left out is told.
  const request = (url) => ({ method: "POST", url, headers: [], postData: { mimeType: "application/json", text: '{"Client":"Kiosk 1"}' } });
  const entry = (url) => ({ startedDateTime: "2026-11-23T13:00:00+01:00", time: 5, request: request(url), response: { status: 200, headers: [], content: { text: "{}" } } });
  const entries = [entry("https://api.mews-demo.com/api/connector/v1/rates/getAll"), entry("https://example.com/")];
  await drop(page, "charles.har", JSON.stringify({ log: { creator: { name: "Charles Proxy", version: "5.0.1" }, entries } }));
  await until("it is marked", async () => /imported from another tool/.test(await row(page, "charles")));
  await other.api("DELETE", "/api/v1/sessions/charles");
  await page.reload();

  // Two sessions side by side.
  await until("both are there", async () => (await page.$$("tbody input")).length === 2);
  for (const place of [0, 1]) await (await page.$$("tbody input"))[place].click();
  await page.waitForSelector("a[href*='compare=']");
  await page.click("a[href*='compare=']");
  await says(page, ".sessions", /\d+ fixed, \d+ new, \d+ remains?/);
  // Their traffic, too.
  await says(page, ".sessions", /Mews takes|is called now|is no longer called|No difference/);
  await it.look(page, "comparison-1400-light");
  await page.close();
}

test(async (it, folder) => {
  const mews = await upstream((request) => (request.url.includes("reservations/cancel") ? { status: 403, body: '{"Message":"Too late."}' } : { body: '{"Cursor":null}' }));
  const serve = await Serve.start(`${folder}/data`, ["--upstream", mews.url, "--session", "certification"]);
  for (let sent = 0; sent < 12; sent++) await serve.call("configuration/get");
  await serve.call("reservations/cancel", { ReservationIds: ["0f515589-99b4-423d-b83a-b237009f0509"] });
  const declaration = { operations: { "configuration/get": "the time zone" }, rules: { "errors/unresolved": { silence: true, reason: "sent to see the error page" } } };
  await serve.api("PUT", "/api/v1/sessions/certification/declaration", { declaration });
  await evidence(it, serve, folder);
  const other = await Serve.start(`${folder}/other`, ["--upstream", mews.url, "--session", "here"]);
  await other.call("configuration/get");
  await imports(it, serve, other, folder);
  mews.close();
});
