// Opens a report and a HAR in headless Chromium, and says what is wrong with them, a line each.
//
//   NODE_PATH=FOLDER/node_modules node check.cjs CHROMIUM report.html session.har EXCHANGES [PICTURES]
//
// NODE_PATH has puppeteer-core, axe-core and har-validator. Pictures of the report go into the folder PICTURES.
"use strict";
const fs = require("fs");
const path = require("path");
const { pathToFileURL } = require("url");
const axe = require("axe-core");
const puppeteer = require("puppeteer-core");
const validate = require("har-validator/lib/promise");

const [chromium, report, har, exchanges, pictures] = process.argv.slice(2);
const address = pathToFileURL(path.resolve(report)).href;
const wrong = [];
const expect = (holds, what) => holds || wrong.push(what);

async function reportAt(browser, name, width, scheme, script) {
  const page = await browser.newPage();
  const say = (what) => wrong.push(`report, ${name}: ${what}`);
  page.on("console", (message) => say(`console: ${message.text()}`));
  page.on("pageerror", (error) => say(`error: ${error}`));
  page.on("request", (request) => request.url().split("#")[0] === address || say(`it asked for ${request.url()}`));
  page.on("dialog", (dialog) => {
    say(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  await page.setJavaScriptEnabled(script);
  await page.setViewport({ width, height: 900 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  await page.goto(address);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  expect(wide <= width, `report, ${name}: it is ${wide} pixels wide`);
  const folded = await page.$$eval("details.x", (all) => all.length);
  expect(folded === Number(exchanges), `report, ${name}: ${folded} exchanges are shown`);
  const tools = await page.$eval(".tools", (tools) => getComputedStyle(tools).display !== "none");
  expect(tools === script, `report, ${name}: tools that need the script are ${tools ? "there" : "missing"}`);
  if (script) {
    const last = await page.evaluate(() => {
      const all = [...document.querySelectorAll("details.x")];
      location.hash = all.at(-1).querySelector(".open").id;
      return new Promise((done) => setTimeout(() => done(all.at(-1).open), 300));
    });
    expect(last, `report, ${name}: a link does not unfold its exchange`);
    const left = await page.evaluate(() => {
      const find = document.getElementById("find");
      find.value = "no exchange says this";
      find.dispatchEvent(new Event("input"));
      return new Promise((done) => setTimeout(() => done(document.querySelectorAll("details.x:not([hidden])").length), 600));
    });
    expect(left === 0, `report, ${name}: ${left} exchanges are found that should not be`);
    await page.evaluate(() => {
      document.getElementById("find").value = "";
      document.getElementById("find").dispatchEvent(new Event("input"));
      document.querySelectorAll("details").forEach((details, place) => (details.open = place < 60));
      return new Promise((done) => setTimeout(done, 300));
    });
    await page.evaluate(axe.source);
    const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    for (const fault of found.violations) {
      const where = fault.nodes.slice(0, 3).map((node) => `${node.target} ${node.failureSummary.replace(/\s+/g, " ")}`);
      say(`${fault.impact}: ${fault.id}: ${where.join(" | ").slice(0, 600)}`);
    }
  }
  if (pictures && script) {
    await page.evaluate(() => {
      document.querySelectorAll("details").forEach((details) => (details.open = false));
      document.querySelectorAll("details.x").forEach((details, place) => (details.open = place === 2));
      scrollTo(0, 0);
    });
    const end = await page.evaluate(() => document.getElementById("exchanges").offsetTop);
    const clip = { x: 0, y: 0, width, height: Math.min(end + 1600, 12000) };
    await page.screenshot({ path: path.join(pictures, `report-${name}.png`), clip, captureBeyondViewport: true });
  }
  await page.close();
}

// What the network panel does when a HAR is dropped on it.
async function inNetworkPanel(browser) {
  const page = await browser.newPage();
  await page.goto("devtools://devtools/bundled/devtools_app.html");
  const read = await page.evaluate(async (text) => {
    const har = await import("devtools://devtools/bundled/models/har/har.js");
    const root = new har.HARFormat.HARRoot(JSON.parse(text));
    const requests = har.Importer.Importer.requestsFromHARLog(root.log);
    return requests.map((request) => [request.url(), request.statusCode, request.duration, request.resourceSize]);
  }, fs.readFileSync(har, "utf8"));
  expect(read.length === Number(exchanges), `HAR: the network panel shows ${read.length} requests`);
  for (const [url, status, duration, size] of read) {
    expect(url && status >= 0 && duration >= 0 && size >= 0, `HAR: the network panel shows ${[url, status, duration, size]}`);
  }
  await page.close();
}

(async () => {
  await validate.har(JSON.parse(fs.readFileSync(har, "utf8"))).catch((error) => {
    for (const fault of error.errors || [error]) wrong.push(`HAR: ${fault.dataPath || ""} ${fault.message}`);
  });
  const browser = await puppeteer.launch({ executablePath: chromium, args: ["--no-sandbox", "--disable-gpu"] });
  try {
    await inNetworkPanel(browser);
    for (const [name, width] of [["desktop", 1280], ["phone", 390]]) {
      for (const scheme of ["light", "dark"]) await reportAt(browser, `${name}-${scheme}`, width, scheme, true);
      await reportAt(browser, `${name}-without-script`, width, "light", false);
    }
    const page = await browser.newPage();
    await page.goto(address);
    const pdf = await page.pdf({ format: "A4", path: pictures && path.join(pictures, "report.pdf") });
    expect(pdf.length > 10000, "report: it does not print");
  } finally {
    await browser.close();
  }
  for (const line of wrong) console.log(line);
  process.exit(wrong.length ? 1 : 0);
})().catch((error) => {
  console.log(error.stack);
  process.exit(1);
});
