// The page over an archive: evidence is exported there, and nothing can be changed. The console's address, with its token, is in
// the variable TEAM_PAGE.
"use strict";
const fs = require("fs");
const path = require("path");
const { says } = require("./actions.cjs");
const { test, until } = require("./harness.cjs");

const { origin, hash } = new URL(process.env.TEAM_PAGE);
const console = { origin, token: hash.slice("#token=".length) };

/** The texts of the buttons that are seen. */
const buttons = (page) => page.$$eval("main button, dialog button", (all) => all.filter((one) => one.checkVisibility()).map((one) => one.textContent));

test(async (it, folder) => {
  const page = await it.open(console, "#/sessions", { name: "team" });
  const client = await page.createCDPSession();
  await client.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: folder });
  await page.waitForSelector(".read-only tbody tr");
  await it.sees(async () => `${await buttons(page)}` === "Export", async () => `the sessions have the buttons ${await buttons(page)}`);
  for (const width of [1400, 390]) {
    const narrow = await it.open(console, "#/sessions", { width, name: `team-sessions-${width}` });
    await narrow.waitForSelector(".read-only tbody tr");
    await it.look(narrow, `team-sessions-${width}`);
    await narrow.close();
  }
  await page.click("tbody .reads");
  await page.waitForSelector("dialog [data-format=csv]");
  await page.click("dialog [data-format=csv]");
  await page.waitForSelector("dialog [data-job=csv]", { timeout: 60_000 });
  await page.click("dialog [data-job=csv]");
  const file = await until("the CSV is downloaded", () => fs.readdirSync(folder).find((name) => name.endsWith(".csv")));
  it.expect(fs.readFileSync(path.join(folder, file), "utf8").trim().split("\n").length === 13, "the CSV has not all of both nodes");
  await page.close();

  const run = await it.open(console, "#/run?tab=declaration", { name: "team-declaration" });
  await says(run, ".card .reads", /`?nightaudit sessions declare/);
  await run.waitForSelector(".form");
  await it.sees(() => run.$eval(".form", (form) => [...form.querySelectorAll("input, select, textarea, button")].every((one) => one.matches(":disabled"))), () => "something in the declaration can be edited");
  const seen = await buttons(run);
  it.expect(!seen.some((text) => /Save|Remove|Start from|Declare/.test(text)), `the declaration has the buttons ${seen}`);
  await it.look(run, "team-declaration-1400");
  await run.close();

  const traffic = await it.open(console, "#/exchange/last", { name: "team-exchange" });
  await traffic.waitForSelector(".no-proxy .exchange-tools:not([hidden])");
  const offered = await buttons(traffic);
  it.expect(offered.length > 0 && !offered.includes("Resend"), `the exchange has the buttons ${offered}`);
  await traffic.close();
});
