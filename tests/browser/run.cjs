// The page's limits, certification run and sessions: limits that move, a planted fault that leads to its exchange, the
// declaration, and sessions from start to deletion.
"use strict";
const { fillIn, hash, press, reviewed, row, says, text } = require("./actions.cjs");
const { Serve, freePort, test, until, upstream } = require("./harness.cjs");

/** What a recorded text may try. */
const HOSTILE = "<img src=x onerror=alert(1)>\u202egnp.exe\u0007</script>";

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
  // What is selected, to be copied, stays while the limits are read again.
  await page.evaluate(() => getSelection().selectAllChildren(document.querySelector(".limits tbody a")));
  for (let read = 0; read < 2; read++) await page.waitForResponse((response) => response.url().endsWith("/limits"));
  const selected = await page.evaluate(() => String(getSelection()));
  it.expect(/^[0-9a-f]{12}$/.test(selected), `the selected token: ${selected}`);
  await page.close();
}

/** A planted fault is seen, and leads to its exchange. */
async function findings(it, serve) {
  const page = await it.open(serve, "#/run", { name: "run" });
  await says(page, ".verdict", /Not Mews/);
  await says(page, ".findings", /reservations\/cancel: 1 failed call not resolved: 403/);
  await it.sees(async () => /^#\/run\/?/.test(await hash(page)), async () => await hash(page));
  const fault = "li[data-rule='errors/unresolved']";
  await it.sees(async () => (await text(page, fault)).includes("<img src=x onerror=alert(1)>"), async () => `Mews' message is shown as it is: ${await text(page, fault)}`);
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

  // Peak windows, and how refusals were handled.
  await page.click(".subtabs a[href*=limits]");
  await says(page, ".run", /with the peak window of each/i);
  const handled = await page.$$eval(".run tbody tr", (rows) => rows.map((own) => own.innerText.replace(/\s+/g, " ")));
  it.expect(handled.some((own) => /\b[1-8] of 8 \d+ %/.test(own)), `the peak windows: ${handled}`);
  it.expect(handled.some((own) => /429 from Mews 1 /.test(own)), `the refusals: ${handled}`);
  // Webhooks by type, and one whose type tries something.
  it.expect(handled.includes("CustomerUpdated webhook 2 1 0 1 customers/getAll 1 0 0"), `the webhooks: ${handled}`);
  it.expect(handled.some((own) => own.startsWith("<img src=x onerror=alert(1)>")), `the unknown type: ${handled}`);
  it.expect((await page.$$("main img")).length === 0, "a type of events has become markup");
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
  await it.sees(async () => (await text(page, ".verdict h2")) === review.headline, async () => `the page says ${await text(page, ".verdict h2")}, review ${review.headline}`);

  // An exchange left out, with a reason.
  const left = (await serve.api("GET", "/api/v1/rows?session=certification&operation=configuration/get&limit=1")).rows[0].id;
  await press(page, "button", "Leave out an exchange");
  await page.keyboard.type(left);
  await page.keyboard.press("Tab");
  await page.keyboard.type("sent by hand");
  await press(page, "button", "Save");
  await says(page, "footer", /Saved with the session/);
  review = reviewed(serve);
  it.expect(review.leftOut?.length === 1 && review.leftOut[0].exchange === left && review.leftOut[0].reason === "sent by hand", `left out: ${JSON.stringify(review.leftOut)}`);

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
  // The form keeps the comment.
  await press(page, "button", "Form");
  await fillIn(page, "#declared-pilot", "Hotel Acme 2");
  await press(page, "button", "Save");
  await says(page, "footer", /Saved with the session/);
  const changed = (await serve.api("GET", "/api/v1/sessions/certification/declaration")).toml;
  it.expect(changed === toml.replace("Hotel Acme", "Hotel Acme 2"), `what the form stores: ${changed}`);
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

async function sessions(it, serve) {
  const page = await it.open(serve, "#/sessions", { name: "sessions" });
  await fillIn(page, "form input", "rehearsal");
  await page.keyboard.press("Enter");
  await until("it is being recorded", async () => /recording/.test(await row(page, "rehearsal")));
  await it.sees(async () => /open/.test(await row(page, "certification")), () => "the session before is open");

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

test(async (it, folder) => {
  let busy = true;
  const mews = await upstream((request, body) => {
    if (request.url.includes("reservations/cancel")) return { status: 403, body: JSON.stringify({ Message: `Too late. ${HOSTILE}` }) };
    if (request.url === "/hook") return { status: body.includes("refused") ? 500 : 204 };
    if (request.url.includes("services/getAll") && busy) {
      busy = false;
      return { status: 429, headers: { "Retry-After": "1" }, body: '{"Message":"slow down"}' };
    }
    return { body: '{"Cursor":null}' };
  });
  const hooks = `127.0.0.1:${await freePort()}`;
  const serve = await Serve.start(`${folder}/data`, ["--upstream", mews.url, "--session", "certification", "--limit", "8/30s", "--webhooks-listen", hooks, "--webhooks-forward", `${mews.url}/hook`]);
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
  for (const [event, id] of [["CustomerUpdated", "a"], ["CustomerUpdated", "refused"], [HOSTILE, "b"]]) {
    const message = { EnterpriseId: "e", IntegrationId: "i", Events: [{ Discriminator: event, Value: { Id: id } }] };
    await fetch(`http://${hooks}/`, { method: "POST", body: JSON.stringify(message) });
  }
  await findings(it, serve);
  await declaration(it, serve);

  for (const [width, scheme] of [[1400, "light"], [1400, "dark"], [390, "light"], [390, "dark"]]) {
    for (const [name, at] of [["limits", "#/limits"], ["findings", "#/run"], ["operations", "#/run?tab=operations"], ["errors", "#/run?tab=errors"], ["handling", "#/run?tab=limits"], ["declaration", "#/run?tab=declaration"], ["sessions", "#/sessions"]]) {
      const page = await it.open(serve, at, { width, scheme, name: `${name}-${width}-${scheme}` });
      // Last shown as text.
      if (name === "declaration") await press(page, "button", "Form");
      await page.waitForSelector(`main ${{ limits: ".usage", findings: ".findings", operations: ".points", errors: ".chains", handling: ".run .table", declaration: ".rows", sessions: "tbody" }[name]}`);
      await it.look(page, `${name}-${width}-${scheme}`);
      await page.close();
    }
  }
  await sessions(it, serve);
  mews.close();
});
