// The page's limits, certification run and sessions: limits that move, a planted fault that leads to its exchange, the
// declaration, evidence that `verify` accepts, sessions from start to deletion, and the import of a dropped file.
"use strict";
const { spawnSync } = require("child_process");
const fs = require("fs");
const path = require("path");
const { Serve, binary, test, until, upstream } = require("./harness.cjs");

/** What a recorded text may try. */
const HOSTILE = "<img src=x onerror=alert(1)>\u202egnp.exe\u0007</script>";

const text = (page, selector) => page.$eval(selector, (element) => element.innerText);
const hash = (page) => page.evaluate(() => location.hash);
/** Waits until an element's text is as it should be. */
const says = (page, selector, expected) => until(`${selector} says ${expected}`, async () => expected.test(await text(page, selector).catch(() => "")));
/** Clicks the first element whose text is this one. */
const press = (page, selector, said) =>
  until(`there is ${selector} “${said}”`, () =>
    page.$$eval(selector, (all, said) => {
      const found = all.find((own) => own.checkVisibility() && own.innerText.trim() === said);
      found?.click();
      return Boolean(found);
    }, said));
/** Types into a field instead of what is there. */
const fillIn = async (page, selector, value) => {
  await page.waitForSelector(selector);
  await page.$eval(selector, (field) => field.select());
  await page.type(selector, value);
};

/** Runs a command on the log; returns its output. */
function command(serve, ...args) {
  const { stdout, stderr, status } = spawnSync(binary, [...args, "--data", serve.data], { encoding: "utf8", cwd: serve.data });
  return { stdout, stderr, status };
}
const reviewed = (serve) => JSON.parse(command(serve, "review", "--session", "certification", "--json", "--fail-on", "never").stdout);

async function limits(it, serve) {
  const page = await it.open(serve, "#/limits", { name: "limits" });
  await says(page, ".limits", /No requests counted yet/);
  await it.look(page, "limits-empty-1400-light");
  const call = () => serve.call("configuration/get", {}, { "X-Nightaudit-Session": "limits" });
  const used = (number) => says(page, ".limits", new RegExp(`\\b${number}/8 used`));
  for (let sent = 1; sent <= 2; sent++) {
    await call();
    await used(sent);
  }
  for (let sent = 3; sent <= 9; sent++) await call();
  await used(8);
  await says(page, ".limits", /free in \d/);
  const cells = await page.$$eval(".limits tbody td", (all) => all.map((cell) => cell.innerText));
  it.expect(cells[2] === "0" && cells[4] === "1" && cells[5] === "0", `left, refused by us and by Mews: ${cells}`);
  // The countdown runs on its own.
  const before = await text(page, ".limits tbody td:nth-child(4)");
  await until("the countdown goes on", async () => (await text(page, ".limits tbody td:nth-child(4)")) !== before);
  await page.close();
}

/** A planted fault is seen, and leads to its exchange. */
async function findings(it, serve) {
  const page = await it.open(serve, "#/run", { name: "run" });
  await says(page, ".verdict", /Not Mews/);
  await says(page, ".findings", /reservations\/cancel: 1 failed call not resolved: 403/);
  it.expect(/^#\/run\/?/.test(await hash(page)), await hash(page));
  const fault = "li[data-rule='errors/unresolved']";
  it.expect((await text(page, fault)).includes("<img src=x onerror=alert(1)>"), `Mews' message is shown as it is: ${await text(page, fault)}`);
  it.expect((await page.$$("main img")).length === 0, "a message has become markup");
  await page.click(`${fault} a[href^='#/exchange/']`);
  await until("the exchange is opened", async () => (await hash(page)).startsWith("#/exchange/"));
  const exchange = await serve.api("GET", `/api/v1/exchanges/${(await hash(page)).split("/")[2]}`);
  it.expect(exchange.operation === "reservations/cancel", `the finding leads to ${exchange.operation}`);
  await page.goBack();
  await says(page, ".findings", /reservations\/cancel/);

  // It goes on while the session runs.
  await serve.call("customers/getall", { AccessToken: "access-token-0003" });
  await says(page, ".findings", /Mews has no operation customers\/getall/);

  await page.click(".subtabs a[href*=errors]");
  await until("the retry chain is drawn", () => page.$(".chains .node.good"));
  const chain = await page.$$eval(".chains > li", (all) => all.map((own) => own.innerText.replace(/\s+/g, " ")).find((own) => own.startsWith("services/getAll")));
  it.expect(/429 Retry-After 1 s .* resolved$/.test(chain ?? ""), `the chain: ${chain}`);
  await page.close();
}

/** The declaration is edited on the page, and `review` on the command line says the same. */
async function declaration(it, serve) {
  const page = await it.open(serve, "#/run?tab=operations", { name: "declaration" });
  page.allowed.push(/400/);
  await press(page, "button", "Declare what was called");
  await until("the operations are in the form", async () => (await page.$$(".rows [aria-label=Purpose]")).length === 4);
  await press(page, "button", "Save");
  await says(page, ".fault", /say what `.*` is used for in your own words/);
  for (const field of await page.$$(".rows [aria-label=Purpose]")) await field.type("as at the kiosk");
  await page.select("#declared-use_case", "kiosk");
  await fillIn(page, "#declared-client", "Acme");
  await press(page, "button", "Save");
  await says(page, "footer", /Saved with the session/);
  let review = reviewed(serve);
  it.expect(review.declared?.useCase === "kiosk" && review.declared.client === "Acme" && review.coverage.declared === 4, `review: ${JSON.stringify(review.declared)}`);

  // A rule silenced with a reason, from its finding.
  await page.click(".subtabs a[href*=findings]");
  await page.waitForSelector("[data-rule='errors/unresolved'] button");
  await page.click("[data-rule='errors/unresolved'] button");
  await page.waitForSelector(".rows [aria-label=Reason]");
  await until("the reason has the focus", () => page.evaluate(() => document.activeElement?.getAttribute("aria-label") === "Reason"));
  await page.keyboard.type("sent to see the error page");
  await press(page, "button", "Save");
  await says(page, "footer", /Saved with the session/);
  review = reviewed(serve);
  it.expect(review.silenced.length === 1 && review.silenced[0].ruling.reason === "sent to see the error page", `silenced: ${JSON.stringify(review.silenced)}`);
  await says(page, ".verdict h2", /with 1 rule silenced by the partner/);
  it.expect((await text(page, ".verdict h2")) === review.headline, `the page says ${await text(page, ".verdict h2")}, review ${review.headline}`);

  // As text: a mistake is named with its line, and what is right is stored.
  await press(page, "button", "TOML");
  await page.waitForSelector("textarea");
  const stored = await page.$eval("textarea", (area) => area.value);
  await page.$eval("textarea", (area) => area.setSelectionRange(0, 0));
  await page.type("textarea", '# by hand\nclent = "Acme"\n');
  await press(page, "button", "Save");
  await says(page, ".fault", /line 2: `clent` is not a key/);
  const selected = await page.$eval("textarea", (area) => area.value.slice(area.selectionStart, area.selectionEnd));
  it.expect(selected === 'clent = "Acme"', `the line that is wrong is selected: ${selected}`);
  await page.keyboard.type('pilot = "Hotel Acme"');
  await press(page, "button", "Save");
  await says(page, "footer", /Saved with the session/);
  const { toml } = await serve.api("GET", "/api/v1/sessions/certification/declaration");
  it.expect(toml === `# by hand\npilot = "Hotel Acme"\n${stored}`, `what is stored: ${toml}`);
  await page.close();
}

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
  await page.close();
}

/** The item of a session's menu. */
async function act(page, name, action) {
  await until(`there is ${name}`, async () => {
    // In one go: the list may be drawn anew at any time.
    await page.$$eval("tbody tr", (rows, name) => rows.find((own) => own.querySelector("td:nth-child(2) a").innerText === name)?.querySelector("button").click(), name);
    return page.$("dialog");
  });
  await page.waitForSelector(`dialog [data-action=${action}]`);
  await page.click(`dialog [data-action=${action}]`);
  await page.waitForSelector("dialog [data-action]", { hidden: true });
}
const row = (page, name) => page.$$eval("tbody tr", (rows, name) => rows.find((own) => own.querySelector("td:nth-child(2) a").innerText === name)?.innerText ?? "", name);

async function sessions(it, serve) {
  const page = await it.open(serve, "#/sessions", { name: "sessions" });
  await fillIn(page, "form input", "rehearsal");
  await page.keyboard.press("Enter");
  await until("it is being recorded", async () => /recording/.test(await row(page, "rehearsal")));
  it.expect(/open/.test(await row(page, "certification")), "the session before is open");

  await act(page, "rehearsal", "note");
  await page.waitForSelector("#dialog-input");
  await page.type("#dialog-input", HOSTILE);
  await page.keyboard.press("Enter");
  await until("the note is there", async () => (await row(page, "rehearsal")).includes("<img src=x onerror=alert(1)>"));
  await act(page, "rehearsal", "rename");
  await fillIn(page, "#dialog-input", "trial");
  await page.keyboard.press("Enter");
  await until("it has its new name", () => row(page, "trial"));

  await act(page, "trial", "end");
  await press(page, "dialog button", "End");
  await until("it is closed", async () => /closed/.test(await row(page, "trial")));
  await act(page, "certification", "continue");
  await until("the first is recorded again", async () => /recording/.test(await row(page, "certification")));
  await it.look(page, "sessions-noted-1400-light");

  // Only by typing its name.
  await act(page, "trial", "delete");
  await page.waitForSelector("#dialog-typed");
  const disabled = () => page.$eval("dialog .danger", (button) => button.disabled);
  it.expect(await disabled(), "it can be deleted without its name");
  await page.type("#dialog-typed", "tria");
  it.expect(await disabled(), "it can be deleted with half its name");
  await page.type("#dialog-typed", "l");
  await page.keyboard.press("Enter");
  await until("it is gone", async () => !(await row(page, "trial")));
  const { sessions } = await serve.api("GET", "/api/v1/sessions");
  it.expect(sessions.map(({ name }) => name).sort().join() === "certification,limits" && sessions.find(({ current }) => current)?.name === "certification", `what is left: ${JSON.stringify(sessions)}`);
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
  await says(page, ".toast", /junk\.ndjson|not|line 1/);
  await drop(page, "certification.ndjson", fs.readFileSync(file, "utf8"));
  await until("the session is imported", async () => /imported/.test(await row(page, "certification")));
  await page.waitForSelector("tbody input");

  // Two sessions side by side.
  await until("both are there", async () => (await page.$$("tbody input")).length === 2);
  for (const place of [0, 1]) await (await page.$$("tbody input"))[place].click();
  await page.waitForSelector("a[href*='compare=']");
  await page.click("a[href*='compare=']");
  await says(page, ".sessions", /\d+ fixed, \d+ new, \d+ remains?/);
  await it.look(page, "comparison-1400-light");
  await page.close();
}

test(async (it, folder) => {
  let busy = true;
  const mews = await upstream((request) => {
    if (request.url.includes("reservations/cancel")) return { status: 403, body: JSON.stringify({ Message: `Too late. ${HOSTILE}` }) };
    if (request.url.includes("services/getAll") && busy) {
      busy = false;
      return { status: 429, headers: { "Retry-After": "1" }, body: '{"Message":"slow down"}' };
    }
    return { body: '{"Cursor":null}' };
  });
  const serve = await Serve.start(`${folder}/data`, ["--upstream", mews.url, "--session", "certification", "--limit", "8/30s"]);
  await limits(it, serve);
  // With another token, because the first one's window is full.
  const call = (operation, body) => serve.call(operation, { AccessToken: "access-token-0002", ...body });
  await call("configuration/get", {});
  await call("reservations/cancel", { ReservationIds: ["0f515589-99b4-423d-b83a-b237009f0509"] });
  const services = { ServiceIds: ["0f515589-99b4-423d-b83a-b237009f0510"], Limitation: { Count: 10 } };
  await call("services/getAll", services);
  await call("resources/getAll", { Limitation: { Count: 10 } });
  // Once the limit lets it through again.
  await until("the services are there", async () => (await call("services/getAll", services)) === 200);
  await findings(it, serve);
  await declaration(it, serve);
  await evidence(it, serve, folder);

  for (const [width, scheme] of [[1400, "light"], [1400, "dark"], [390, "light"], [390, "dark"]]) {
    for (const [name, at] of [["limits", "#/limits"], ["findings", "#/run"], ["operations", "#/run?tab=operations"], ["errors", "#/run?tab=errors"], ["declaration", "#/run?tab=declaration"], ["evidence", "#/run?tab=evidence"], ["sessions", "#/sessions"]]) {
      const page = await it.open(serve, at, { width, scheme, name: `${name}-${width}-${scheme}` });
      // Last shown as text.
      if (name === "declaration") await press(page, "button", "Form");
      await page.waitForSelector(`main ${{ limits: ".usage", findings: ".findings", operations: ".points", errors: ".chains", declaration: ".rows", evidence: ".evidence", sessions: "tbody" }[name]}`);
      await it.look(page, `${name}-${width}-${scheme}`);
      await page.close();
    }
  }
  await sessions(it, serve);
  const other = await Serve.start(`${folder}/other`, ["--upstream", mews.url, "--session", "here"]);
  await other.call("configuration/get");
  await imports(it, serve, other, folder);
  mews.close();
});
