// The page's frame and its traffic: opened by the printed address, live rows, filter, search, following, a restart of `serve`.
"use strict";
const { Serve, pause, test, until, upstream } = require("./harness.cjs");

/** What a recorded text may try. */
const HOSTILE = "<img src=x onerror=alert(1)>\u202egnp.exe\u0007\u2028</script><script>alert(2)</script>";

const answer = (request) => {
  if (request.url.includes("/rates/")) return { status: 500, body: '{"Message":"<b>broken</b>"}' };
  if (request.url.includes("/customers/")) return { status: 403, body: '{"Message":"not allowed"}' };
  return { body: '{"Note":"</script><script>alert(3)</script>","Cursor":null}' };
};

/** The texts of a column of the rows that are drawn. */
const column = (page, name) => page.$$eval(`.vlist .vrow .${name}`, (cells) => cells.map((cell) => cell.textContent));
const text = (page, selector) => page.$eval(selector, (element) => element.textContent);
const total = (page) => page.$eval(".vlist", (list) => Number(list.getAttribute("aria-rowcount")));
const hash = (page) => page.evaluate(() => location.hash);

/** Every row's operation, from the first to the last, read as a person would: by scrolling. */
async function everyOperation(page) {
  return page.evaluate(async () => {
    const list = document.querySelector(".vlist");
    const found = new Map();
    for (let at = 0; ; at += list.clientHeight / 2) {
      list.scrollTop = at;
      // Drawn at the next frame, whenever that is, and filled when the rows have come.
      for (let tries = 0; tries < 500; tries++) {
        await new Promise((done) => setTimeout(done, 20));
        const { top, bottom } = list.getBoundingClientRect();
        const rows = [...list.querySelectorAll(".vrow")].map((row) => ({ absent: row.matches(".is-absent"), ...row.getBoundingClientRect().toJSON() }));
        const last = Math.min(bottom, top + list.scrollHeight - list.scrollTop) - 1;
        if (rows.some((row) => row.top <= top) && rows.some((row) => row.bottom >= last) && !rows.some(({ absent }) => absent)) break;
      }
      for (const row of list.querySelectorAll(".vrow")) found.set(Number(row.getAttribute("aria-rowindex")), row.querySelector(".c-operation").textContent);
      if (at + list.clientHeight >= list.scrollHeight) break;
    }
    return [...found].sort(([a], [b]) => a - b).map(([, operation]) => operation);
  });
}

test(async (it, folder) => {
  const mews = await upstream(answer);
  const serve = await Serve.start(`${folder}/data`, ["--upstream", mews.url, "--session", "certification", "--limit", "5000/30s"]);

  // Without the token, and with a wrong one.
  const closed = await it.open(serve, "#/traffic?status=4xx", { token: false, name: "token" });
  closed.allowed.push(/401/);
  await closed.waitForSelector("#token");
  await it.look(closed, "token-1400-light");
  await closed.type("#token", "a-wrong-token");
  await closed.keyboard.press("Enter");
  await until("a wrong token is said to be one", async () => /not the token/.test(await text(closed, ".fault")));
  await closed.$eval("#token", (input) => (input.value = ""));
  await closed.type("#token", serve.address);
  await closed.keyboard.press("Enter");
  await closed.waitForSelector(".traffic");
  await it.sees(async () => (await hash(closed)) === "#/traffic?status=4xx", async () => `the token's view forgot where it was to go: ${await hash(closed)}`);
  await closed.close();

  // By the printed address: an empty log.
  const page = await it.open(serve, `#token=${serve.token}`, { token: false, name: "page" });
  await page.waitForSelector(".empty .tabs");
  const address = await page.evaluate(() => location.href + document.URL + document.referrer + document.cookie + document.body.textContent);
  it.expect(!address.includes(serve.token), "the token is still in the address, or in the page");
  await it.sees(async () => (await text(page, ".empty")).includes(`http://${serve.proxy.host}`), () => "the empty log doesn't say the proxy's address");
  const languages = [];
  for (const tab of await page.$$(".empty [role=tab]")) {
    await tab.click();
    const line = await text(page, ".empty pre");
    languages.push(await tab.evaluate((tab) => tab.textContent));
    it.expect(line.includes(`http://${serve.proxy.host}/`) && line.includes("api/connector/v1/"), `${languages.at(-1)} has no address: ${line}`);
  }
  it.expect(languages.join() === "cURL,Node,Python,C#,PHP,Java", `languages: ${languages}`);
  for (const [width, scheme] of [[1400, "light"], [1400, "dark"], [390, "light"], [390, "dark"]]) {
    await page.setViewport({ width, height: 844 });
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    await it.look(page, `empty-${width}-${scheme}`);
  }
  await page.setViewport({ width: 1400, height: 900 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "light" }]);

  // Live rows, and hostile ones.
  await serve.call("bills/getAll");
  await until("the first request is there", async () => (await total(page)) === 1);
  await serve.call("rates/getAll", { Client: HOSTILE });
  await serve.call("customers/getAll", HOSTILE);
  await serve.call(encodeURIComponent(HOSTILE) + "/x");
  await until("four are there", async () => (await total(page)) === 4);
  const drawn = () => column(page, "c-status");
  await until("their statuses are drawn", async () => (await drawn()).join() === "200,500,403,200" || (await drawn()).length === 4);
  await it.sees(async () => (await drawn()).slice(0, 3).join() === "200,500,403", async () => `statuses: ${await drawn()}`);
  const raw = await page.evaluate(() => /[\u0000-\u0009\u000b-\u001f\u202a-\u202e\u2028\u2066-\u2069]/.test(document.body.textContent));
  it.expect(!raw, "a control character is in the page as it was recorded");
  it.expect(!(await page.$("main img, main script, main b b")), "recorded markup became elements");

  // The filter, by typing, by completion, and wrong.
  const filter = async (typed) => {
    await page.$eval(".vlist", (list) => list.focus());
    await page.keyboard.press("f");
    await page.keyboard.type(typed);
    await page.keyboard.press("Enter");
  };
  await filter("5xx");
  await until("one matches 5xx", async () => (await total(page)) === 1 && (await text(page, ".counts")) === "1 match");
  await it.sees(async () => (await hash(page)) === "#/traffic?status=5xx", async () => `the address of a filter: ${await hash(page)}`);
  await page.keyboard.press("f");
  await page.keyboard.type("operation=cust");
  await until("a completion with its count", async () => (await page.$$eval(".suggestions li", (all) => all.map((one) => one.textContent).join())).includes("customers/getAll"));
  await it.look(page, "completion-1400-light");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await until("the completion filters", async () => (await hash(page)).includes("operation=customers/getAll"));
  await until("only that is listed", async () => (await column(page, "c-status")).join() === "403");
  page.allowed.push(/400 \(Bad Request\)/);
  await filter("colour=red");
  await until("an unknown filter is said", async () => (await text(page, ".filter .fault")).includes("unknown filter colour"));
  await it.look(page, "bad-filter-1400-light");
  await filter("418");
  await until("nothing matches", async () => (await text(page, ".list-blank")).includes("No exchange matches"));
  await it.look(page, "no-match-1400-light");
  await filter("client=*img*");
  await until("the hostile Client matches", async () => (await total(page)) === 1);
  await filter(" ");
  await until("all again", async () => (await total(page)) === 4);

  // Many: following, and scrolled up.
  let sent = 0;
  const many = async (count) => {
    for (const end = sent + count; sent < end; ) await Promise.all(Array.from({ length: Math.min(10, end - sent) }, () => serve.call(`numbers/n${String(sent++).padStart(4, "0")}`)));
  };
  await many(120);
  await until("all came", async () => (await total(page)) === 124);
  const atEnd = () => page.$eval(".vlist", (list) => list.scrollTop + list.clientHeight >= list.scrollHeight - 2);
  await it.sees(async () => await atEnd(), () => "the list doesn't follow");
  await page.mouse.move(400, 600);
  await page.mouse.wheel({ deltaY: -800 });
  await until("it stopped following", async () => (await page.$eval(".traffic-buttons [aria-pressed]", (button) => button.getAttribute("aria-pressed"))) === "false");
  await pause(300);
  const where = await page.$eval(".vlist", (list) => list.scrollTop);
  await many(30);
  await until("the new ones are counted", async () => (await text(page, ".newer")).trim() === "30 new");
  it.expect((await page.$eval(".vlist", (list) => list.scrollTop)) === where, "the list moved while it was read");
  await it.look(page, "scrolled-1400-light");
  await page.keyboard.press("F");
  await until("it follows again", atEnd);

  // A tab that nobody sees holds no connection, and is up to date when it is seen again.
  const show = (shown) =>
    page.evaluate((shown) => {
      Object.defineProperty(document, "hidden", { value: !shown, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, shown);
  const inLog = () => serve.api("GET", "/api/v1/rows?limit=1").then(({ total }) => total);
  await show(false);
  await many(7);
  await it.sees(async () => (await inLog()) === 161 && (await total(page)) === 154, async () => `hidden: ${await total(page)} of ${await inLog()} rows`);
  await show(true);
  await until("it has caught up", async () => (await total(page)) === 161 && (await atEnd()));

  // Search, in bodies that no row shows.
  await serve.call("bills/getAll", { Note: "needle in a haystack" });
  await until("the needle is there", async () => (await total(page)) === 162);
  await many(40);
  await page.keyboard.press("/");
  await page.keyboard.type("NEEDLE in a");
  await until("the needle is found", async () => (await text(page, ".search [role=status]")) === "1 of 1");
  await until("its row is chosen", async () => (await page.$eval(".vrow.is-cursor .c-operation", (cell) => cell.textContent).catch(() => "")) === "bills/getAll");
  await it.look(page, "search-1400-light");
  await page.keyboard.press("Escape");

  // A filter that reads bodies, and finds what comes later, too.
  await filter("contains=NEEDLE");
  await until("the needle alone", async () => (await total(page)) === 1 && (await text(page, ".counts")) === "1 match");
  await serve.call("bills/getAll", { Note: "another needle" });
  await until("the new one, too", async () => (await total(page)) === 2);
  // Next and previous are what was found.
  await page.click(".vlist .vrow .c-operation");
  const can = (name) => page.$eval(`[aria-label="${name}"]`, (button) => !button.disabled).catch(() => false);
  await until("the next one is known", () => can("Next (J)"));
  const first = await hash(page);
  await page.click('[aria-label="Next (J)"]');
  await until("the next one is open", async () => (await hash(page)) !== first && (await can("Previous (K)")) && !(await can("Next (J)")));
  await page.keyboard.press("Escape");
  await until("it is closed", async () => !(await hash(page)).includes("open="));
  await filter(" ");
  await until("all again", async () => (await total(page)) === 203);

  // Marks, and what is exported.
  await page.keyboard.press("G");
  await until("it follows", atEnd);
  for (const key of ["k", "k", "m", "m"]) {
    await page.keyboard.press(key);
    // A row that isn't loaded yet can't be marked.
    await until("the row is there", () => page.$eval(".vrow.is-cursor .c-operation", (cell) => cell.textContent !== "").catch(() => false));
  }
  await until("two are marked", async () => (await text(page, ".marked")).includes("2 marked"));
  const pair = await page.$eval(".marked a", (link) => link.getAttribute("href"));
  it.expect(/^#\/compare\/[0-9A-Z]{26}\/[0-9A-Z]{26}$/.test(pair), `compare: ${pair}`);
  await page.keyboard.press("M");
  await until("none is marked", () => page.$eval(".marked", (marked) => marked.hidden));
  await page.keyboard.press("x");
  await page.waitForSelector("dialog[open] .choice");
  await it.look(page, "export-1400-light");
  const [exported] = await Promise.all([page.waitForResponse((response) => response.url().includes("/api/v1/export")), page.click("dialog[open] .choice:nth-child(2)")]);
  it.expect(exported.url().endsWith("?format=ndjson") && exported.status() === 200, `exported: ${exported.status()} ${exported.url()}`);

  // A row opens beside the list, by keys and by the mouse, and has an address.
  await page.$eval(".vlist", (list) => list.focus());
  await page.keyboard.press("Enter");
  await until("it is open", async () => /open=[0-9A-Z]{26}/.test(await hash(page)));
  await until("it is shown", () => page.$eval(".side", (side) => side.textContent.includes("bills/getAll")));
  await it.look(page, "open-1400-light");
  await page.keyboard.press("Escape");
  await until("it is closed", async () => !(await hash(page)).includes("open="));
  const second = await page.$$(".vlist .vrow .c-operation");
  await second[12].click();
  await until("another is open", async () => /open=/.test(await hash(page)));
  const opened = await hash(page);
  await page.keyboard.press("J");
  await until("the next is open", async () => /open=/.test(await hash(page)) && (await hash(page)) !== opened);
  const shared = await it.open(serve, await hash(page), { name: "shared" });
  await until("a sent address opens the same", () => shared.$eval(".vrow.is-open", () => true).catch(() => false));
  await shared.close();
  await page.keyboard.press("q");
  await until("it is closed again", async () => !(await hash(page)).includes("open="));

  // A span of the chart.
  const chart = await (await page.$(".chart")).boundingBox();
  await page.mouse.move(chart.x + 20, chart.y + 20);
  await page.mouse.down();
  await page.mouse.move(chart.x + chart.width - 20, chart.y + 20, { steps: 5 });
  await page.mouse.up();
  await until("a span is chosen", async () => /since=.*until=/.test(await hash(page)));
  await page.goBack();
  await until("back is all", async () => (await total(page)) === 203);

  // `serve` ends and comes back under the open page.
  page.allowed.push(/net::ERR_/);
  // Nor is a review finished that is being read when it stops.
  page.allowed.push(/503 \(Service Unavailable\).*\/run/);
  await page.keyboard.press("F");
  await serve.stop();
  await until("the page says so", async () => (await text(page, ".notices")).includes("can't be reached"));
  await it.sees(async () => (await column(page, "c-operation")).length > 10, () => "the rows went with `serve`");
  await it.look(page, "stopped-1400-light");
  await serve.again();
  await many(50);
  await until("it goes on", async () => (await total(page)) === 253);
  await until("the notice is gone", async () => !(await text(page, ".notices")).includes("can't be reached"));
  const operations = await everyOperation(page);
  const numbers = operations.filter((operation) => operation.startsWith("numbers/"));
  it.expect(operations.length === 253, `${operations.length} rows`);
  it.expect(new Set(numbers).size === 247 && numbers.length === 247, `${numbers.length} rows of 247, ${new Set(numbers).size} of them different`);
  const recorded = await serve.api("GET", "/api/v1/rows?from=0&limit=500");
  it.expect(recorded.rows.map(({ operation }) => operation).join() === operations.map((shown, place) => (shown.startsWith("numbers/") ? shown : recorded.rows[place].operation)).join(), "the order isn't that of the log");

  // An upstream that can't be reached is said.
  mews.close();
  await serve.stop();
  const alone = await Serve.start(`${folder}/alone`, ["--upstream", "http://127.0.0.1:9"]);
  const unreached = await it.open(alone, "#/traffic", { name: "unreached" });
  await alone.call("bills/getAll").catch(() => {});
  await until("the upstream is said to be gone", async () => (await text(unreached, ".notices")).includes("upstream can't be reached"));
  await until("its failure is listed", async () => (await column(unreached, "c-marks")).join().includes("failed"));
  await it.look(unreached, "unreached-1400-light");
  await unreached.close();
  await serve.again();

  // Everything by its keys, and at every size.
  await page.keyboard.press("?");
  await page.waitForSelector("dialog[open]");
  await it.look(page, "keys-1400-light");
  await page.keyboard.press("Escape");
  for (const [width, scheme] of [[1400, "light"], [1400, "dark"], [390, "light"], [390, "dark"]]) {
    const other = await it.open(serve, "#/traffic", { width, scheme, name: `traffic-${width}-${scheme}` });
    await until("rows", async () => (await column(other, "c-operation")).length > 10);
    await until("the chart", () => other.$eval(".c-requests", (path) => path.getAttribute("d")));
    await it.look(other, `traffic-${width}-${scheme}`);
    await other.close();
  }
});
