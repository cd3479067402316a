// One exchange: overview, request and response, contract, messages; two side by side; and whatever a recorded value may try.
"use strict";
const crypto = require("crypto");
const http = require("http");
const net = require("net");
const zlib = require("zlib");
const { Serve, test, until } = require("./harness.cjs");

const MARKUP = "<img src=x onerror=alert(1)></script><script>alert(2)</script>";
/** Right to left, with the controls that turn text around, and others that a browser draws as nothing. */
const RTL = "\u202egnp.exe\u202c \u05e9\u05dc\u05d5\u05dd \u2066\u200b\u0007\u001b[31m\u0000\u009b\u2028";

const reservation = (number) => ({ Id: `id-${number}`, State: number % 2 ? "Started" : "Confirmed", Notes: null, Amount: { Currency: "EUR", GrossValue: 129 + number } });
const reservations = (length) => ({ Reservations: Array.from({ length }, (_, number) => reservation(number)), Cursor: null });
const PNG = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAoAAAAKCAYAAACNMs+9AAAAFUlEQVR42mP8z8BQz0AEYBxVSF+FABJADveWkH6oAAAAAElFTkSuQmCC", "base64");

/** What the upstream says to an operation. */
const ANSWERS = {
  "reservations/getAll": () => {
    const changed = reservations(10);
    changed.Reservations.splice(2, 1);
    changed.Reservations[3].State = "Changed";
    return { body: JSON.stringify(changed, null, 2) };
  },
  "reservations/getAll/2023-06-06": () => ({ body: zlib.gzipSync(JSON.stringify(reservations(10))), headers: { "Content-Encoding": "gzip", "Set-Cookie": ["sid=abc; Path=/; HttpOnly", "lang=en"] } }),
  "customers/add": () => ({ status: 403, body: JSON.stringify({ Message: "not allowed" }) }),
  "big/line": () => ({ body: JSON.stringify({ Data: `${"x".repeat(5 << 20)}needle` }) }),
  "big/keys": () => ({ body: JSON.stringify(Object.fromEntries(Array.from({ length: 10_000 }, (_, at) => [`key${at}`, { at }]))) }),
  "big/deep": () => ({ body: `${'{"a":'.repeat(500)}"bottom"${"}".repeat(500)}` }),
  "big/list": () => ({ body: JSON.stringify(reservations(50_000)) }),
  "big/text": () => ({ body: `${"word ".repeat(1 << 20)}needle`, headers: { "Content-Type": "text/plain" } }),
  "images/get": () => ({ body: PNG, headers: { "Content-Type": "image/png" } }),
  "bills/getPdf": () => ({ body: "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj trailer<</Root 1 0 R>>", headers: { "Content-Type": "application/pdf" } }),
  "pages/html": () => ({ body: `<!doctype html>${MARKUP}\r\nalone\rnul\u0000`, headers: { "Content-Type": "text/html" } }),
  "broken/json": () => ({ body: '{"a": 1, "b": [1, 2,]}' }),
  "empty/body": () => ({ body: "" }),
};
ANSWERS["hostile/all"] = () => ({
  body: JSON.stringify({ [MARKUP]: MARKUP, [RTL]: RTL, "a/b~c": [MARKUP, RTL, "\ud800", "Z" + "\u0351\u036b\u0343".repeat(40)], ["__proto__"]: 1, "": " " }).replace("}", ',"big":12345678901234567890,"big":1.00}'),
  headers: { "X-Markup": MARKUP, "Set-Cookie": `<b>a</b>=${MARKUP}; Path=<u>`, "Request-Id": MARKUP },
});

/** An upstream that also opens WebSockets and says something there. */
async function mews() {
  const server = http.createServer((request, response) => {
    request.resume();
    request.on("end", () => {
      const operation = new URL(request.url, "http://x").pathname.replace("/api/connector/v1/", "");
      const { status = 200, headers = {}, body } = (ANSWERS[operation] || (() => ({ body: "{}" })))();
      response.writeHead(status, { "Content-Type": "application/json", "Request-Id": "00-test-01", ...headers });
      response.end(body);
    });
  });
  const frame = (opcode, payload) => {
    const bytes = Buffer.from(payload);
    const head = bytes.length < 126 ? [0x80 | opcode, bytes.length] : [0x80 | opcode, 126, bytes.length >> 8, bytes.length & 255];
    return Buffer.concat([Buffer.from(head), bytes]);
  };
  server.on("upgrade", (request, socket) => {
    const accept = crypto.createHash("sha1").update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
    socket.write(frame(1, JSON.stringify({ Events: [{ Type: MARKUP, Id: RTL }] })));
    socket.write(frame(9, "ping"));
    socket.write(frame(8, Buffer.concat([Buffer.from([3, 232]), Buffer.from("goodbye <b>")])));
    socket.on("error", () => {});
    socket.on("data", () => {});
    setTimeout(() => socket.end(), 300);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return { url: `http://127.0.0.1:${server.address().port}` };
}

/** Sends bytes to the proxy and waits until it has closed the connection. */
const raw = ({ proxy }, text) =>
  new Promise((done) => {
    const socket = net.connect(Number(proxy.port), proxy.hostname, () => socket.write(text));
    socket.on("data", () => {});
    socket.on("error", done);
    socket.on("close", done);
  });

const text = (page, selector) => page.$eval(selector, (element) => element.textContent);
const lines = (page) => page.$$eval(".lines .line", (all) => all.map((line) => line.textContent));
const selected = (page) => text(page, ".json .selected");
const count = (page) => page.$eval(".lines-space", (space) => parseFloat(space.style.height) / 20);

test(async (it, folder) => {
  const upstream = await mews();
  const serve = await Serve.start(`${folder}/data`, ["--upstream", upstream.url, "--session", "certification", "--limit", "5000/30s"]);
  await serve.call("reservations/getAll/2023-06-06", { Limitation: { Count: 5000 }, Colour: "blue", States: ["Confirmed", "Opened"] }, { Cookie: "session=42; theme=dark" });
  await serve.call("reservations/getAll", { Limitation: { Count: 10 } });
  for (const operation of Object.keys(ANSWERS).slice(2)) if (operation !== "hostile/all") await serve.call(operation);
  const body = JSON.stringify({ ClientToken: "client-token-0001", AccessToken: "access-token-0001", Client: MARKUP + RTL, [MARKUP]: RTL, Data: "y".repeat(5 << 20) });
  const head = ["POST /api/connector/v1/hostile/all?x=%3Cscript%3E HTTP/1.1", "Host: x", "Content-Type: application/json", `X-Evil: ${MARKUP}`, "X-Rtl: \u05e9\u05dc\u05d5\u05dd", "Cookie: <b>a</b>=<i>x</i>; =y; lone", "Connection: close", `Content-Length: ${Buffer.byteLength(body)}`];
  await raw(serve, `${head.join("\r\n")}\r\n\r\n${body}`);
  await serve.call("configuration/get", {});
  await serve.call("configuration/get", {});
  await raw(serve, "GET /ws/connector HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCookie: AccessToken=access-token-0001; ClientToken=client-token-0001\r\n\r\n");
  const exchanges = await until("all exchanges are recorded", async () => {
    const { exchanges } = await serve.api("GET", "/api/v1/exchanges?limit=1000");
    return exchanges.some(({ webSocket }) => webSocket?.ended) && exchanges;
  });
  const id = (operation, place = 0) => exchanges.filter((exchange) => exchange.operation === operation)[place].id;
  const first = id("reservations/getAll/2023-06-06");

  // Every view at both widths and in both schemes.
  const handshake = exchanges.find(({ response }) => response?.status === 101);
  const part = exchanges.find(({ webSocket }) => webSocket);
  const views = [
    ["overview", `#/exchange/${first}`, ".waterfall"],
    ["request", `#/exchange/${first}?tab=request`, ".json"],
    ["response", `#/exchange/${first}?tab=response`, ".json"],
    ["contract", `#/exchange/${first}?tab=contract`, ".json .remark"],
    ["hostile-overview", `#/exchange/${id("hostile/all")}?tab=overview`, ".waterfall"],
    ["hostile-request", `#/exchange/${id("hostile/all")}?tab=request`, ".json"],
    ["hostile-response", `#/exchange/${id("hostile/all")}?tab=response`, ".json"],
    ["failed", `#/exchange/${id("customers/add")}?tab=overview`, ".waterfall"],
    ["image", `#/exchange/${id("images/get")}?tab=response`, ".picture img"],
    ["pdf", `#/exchange/${id("bills/getPdf")}?tab=response`, ".picture iframe"],
    ["text", `#/exchange/${id("pages/html")}?tab=response`, ".lines.text"],
    ["broken", `#/exchange/${id("broken/json")}?tab=response`, ".lines.text"],
    ["messages", `#/exchange/${part.id}?tab=messages`, ".lines.messages"],
    ["parts", `#/exchange/${handshake.id}?tab=messages`, ".parts li"],
    ["compare", `#/compare/${first}/${id("reservations/getAll")}`, ".lines.diff"],
    ["compare-hostile", `#/compare/${first}/${id("hostile/all")}`, ".lines.diff"],
    ["missing", "#/exchange/7ZZZ", ".blank"],
  ];
  for (const width of [1400, 390]) {
    for (const scheme of ["light", "dark"]) {
      const page = await it.open(serve, "", { width, scheme, name: `exchange-${width}-${scheme}` });
      page.allowed.push(/404 \(Not Found\)/);
      for (const [name, hash, selector] of views) {
        await page.evaluate((hash) => (location.hash = hash), hash);
        await page.waitForSelector(selector).catch(async (error) => {
          throw new Error(`${name}: ${error.message}, but ${await page.evaluate(() => `${location.hash}: ${document.body.innerText}`)}`);
        });
        if (name === "response") {
          await page.type(".find-bar input", "confirmed");
          await page.waitForSelector("mark");
        }
        await it.look(page, `exchange-${name}-${width}-${scheme}`);
      }
      await page.close();
    }
  }

  const page = await it.open(serve, `#/exchange/${first}`, { name: "exchange" });
  await page.browserContext().overridePermissions(serve.origin, ["clipboard-read", "clipboard-write", "clipboard-sanitized-write"]);
  const press = (...keys) => keys.reduce((before, key) => before.then(() => page.keyboard.press(key)), Promise.resolve());
  /** Goes to a view, and waits until it is the one that was asked for. */
  const show = async (operation, tab, selector, place = 0) => {
    await page.evaluate((hash) => (location.hash = hash), `#/exchange/${id(operation, place)}?tab=${tab}`);
    await page.waitForFunction((operation) => document.querySelector(".exchange h1")?.textContent.endsWith(operation), {}, operation);
    await page.waitForSelector(selector);
  };
  const copied = async (what) => {
    await page.waitForFunction((what) => document.querySelector(".toasts")?.textContent.includes(what), {}, `${what} copied.`);
    return page.evaluate(() => navigator.clipboard.readText());
  };

  // Overview.
  const overview = await page.waitForSelector(".overview").then((element) => element.evaluate((element) => element.textContent));
  for (const said of ["00-test-01", "admitted by", "1 of 5,000 used", exchanges[0].hash, exchanges[0].previousHash, "on the wire (gzip)", "number 1", "Acme 1.0", "in clear text"]) {
    it.expect(overview.includes(said), `the overview doesn't say ${said}: ${overview}`);
  }
  await until("the overview says who responded", async () => (await text(page, ".overview")).includes("not Mews"));

  // Each finding at its place.
  await show("reservations/getAll/2023-06-06", "contract", ".json .remark");
  // A list draws its first lines before it knows how high it is.
  await page.waitForFunction(() => document.querySelector(".json")?.textContent.includes('found "Opened"'));
  const contract = await lines(page);
  const at = (what) => contract.findIndex((line) => line.includes(what));
  it.expect(at("Count:") >= 0 && at("expected 1 to 1000, found 5000") === at("Count:") + 1, `no finding after Count: ${contract}`);
  it.expect(at("Colour:") >= 0 && at('found the property "Colour"') === at("Colour:") + 1, `no finding after Colour: ${contract}`);
  it.expect(at('found "Opened"') === at('1:"Opened"') + 1, `no finding after States: ${contract}`);
  const link = await page.$eval(".contract-head a", (link) => link.href);
  it.expect(/^https:\/\/docs\.mews\.com\/connector-api\/operations\/reservations/.test(link), `the documentation is at ${link}`);
  await page.evaluate(() => [...document.querySelectorAll(".findings-at button")].find(({ textContent }) => textContent === "/Limitation/Count").click());
  await it.sees(async () => /^Count:\s*5000/.test(await selected(page)), async () => `a finding doesn't lead to its place: ${await selected(page)}`);
  await it.sees(async () => (await text(page, ".json-where")) === "/Limitation/Count", async () => `the pointer is ${await text(page, ".json-where")}`);

  // Folding, search and copying.
  await show("reservations/getAll/2023-06-06", "response", ".json");
  const all = 1 + 1 + 10 * 7 + 1;
  await it.sees(async () => (await count(page)) === all, async () => `${await count(page)} lines of the response`);
  await page.focus(".json");
  await press("z");
  await it.sees(async () => (await count(page)) === 3, async () => `${await count(page)} lines when all is folded`);
  await press("j", "ArrowRight");
  await it.sees(async () => (await count(page)) === 13, async () => `${await count(page)} lines when the list is unfolded`);
  await press("ArrowLeft");
  await it.sees(async () => (await count(page)) === 3, () => "ArrowLeft doesn't fold");
  await press("z");
  await it.sees(async () => (await count(page)) === all, () => "z doesn't unfold all");
  await (await page.$(".json .line:nth-child(3) .fold")).click();
  await it.sees(async () => (await count(page)) === all - 6, () => "a click doesn't fold");
  await press("/");
  await page.keyboard.type("grossVALUE");
  await press("Enter");
  await until("a search finds", async () => /of 10$/.test(await text(page, ".find-bar [role=status]")));
  await it.sees(async () => (await count(page)) === all, () => "a match in what is folded isn't unfolded");
  await press("Enter", "Enter");
  await it.sees(async () => (await text(page, ".find-bar [role=status]")) === "3 of 10" && (await selected(page)) === "GrossValue:131", async () => `the third match is ${await selected(page)}`);
  await press("Escape", "Escape");
  await page.focus(".json");
  await press("p");
  await it.sees(async () => (await copied("The JSON pointer")) === "/Reservations/2/Amount/GrossValue", async () => `copied pointer ${await copied("The JSON pointer")}`);
  await press("ArrowLeft", "c");
  await it.sees(async () => (await copied("The value")) === '{"Currency":"EUR","GrossValue":131}', async () => `copied value ${await copied("The value")}`);
  await press("/");
  await page.keyboard.type("/Reservations/9/State");
  await press("Enter");
  await until("a pointer leads to its place", async () => (await selected(page)) === 'State:"Started"');
  await press("Escape", "Escape");

  // The request as code.
  await page.click(".menu summary");
  await page.evaluate(() => [...document.querySelectorAll(".menu button")].find(({ textContent }) => textContent === "as cURL").click());
  const curl = await copied("The request as cURL");
  it.expect(/curl/.test(curl) && curl.includes("/api/connector/v1/reservations/getAll/2023-06-06") && !curl.includes("access-token-0001"), `as cURL: ${curl}`);

  // Headers, cookies, and as it was on the wire.
  const showPart = async (name, part, ...said) => {
    await page.click(`#tabs-${name}-${part}`);
    for (const what of said) await until(`the ${name}'s ${part} has ${what}`, async () => (await text(page, `#tabs-${name}`)).includes(what));
  };
  await showPart("response", "headers", "Content-Encodinggzip");
  await showPart("response", "cookies", "sidabc Path=/ HttpOnly");
  await showPart("response", "wire", "HTTP/1.1 200 OK", "00000000  1f 8b 08");
  await show("reservations/getAll/2023-06-06", "request", "#tabs-request");
  await showPart("request", "cookies", "theme");
  await showPart("request", "wire", "POST /api/connector/v1/reservations/getAll/2023-06-06 HTTP/1.1");
  await showPart("request", "body");

  // Neighbours, marks, and the comparison of two marked ones.
  await page.waitForFunction(() => !document.querySelector('[aria-label="Next (J)"]').disabled);
  await press("J");
  await page.waitForFunction(() => document.querySelector(".exchange h1").textContent.endsWith("reservations/getAll"));
  await press("m");
  await show("configuration/get", "overview", ".waterfall");
  await page.select(".exchange-tools select", "operation");
  await page.waitForFunction((id) => !document.querySelector('[aria-label="Next (J)"]').disabled && location.hash.includes(id), {}, id("configuration/get"));
  await page.click('[aria-label="Next (J)"]');
  await page.waitForFunction((id) => location.hash.includes(id), {}, id("configuration/get", 1));
  await page.select(".exchange-tools select", "any");
  await show("reservations/getAll/2023-06-06", "overview", ".waterfall");
  const compare = await page.$eval(".exchange-tools a[href*=compare]", (link) => !link.hidden && link.hash);
  it.expect(compare === `#/compare/${id("reservations/getAll")}/${first}`, `the comparison is at ${compare}`);
  await page.evaluate((hash) => (location.hash = hash), `#/compare/${first}/${id("reservations/getAll")}`);
  await page.waitForSelector(".lines.diff");
  await it.sees(async () => (await text(page, ".find-bar [role=status]")) === "2 differences", async () => `${await text(page, ".find-bar [role=status]")} are found`);
  await page.waitForFunction(() => document.querySelectorAll(".diff .changed, .diff .removed").length > 1);
  const changes = await page.$$eval(".diff .changed, .diff .removed", (all) => all.map((line) => line.textContent));
  it.expect(changes.length === 2 && /^−2:.*4 properties$/.test(changes[0]) && changes[1] === '−State:"Confirmed"+State:"Changed"', `the differences are ${JSON.stringify(changes)}`);
  await press("n", "n");
  await it.sees(async () => (await text(page, ".diff .selected")) === changes[1], () => "n doesn't lead to the second difference");

  // Messages of a WebSocket.
  await page.evaluate((hash) => (location.hash = hash), `#/exchange/${part.id}?tab=messages`);
  await page.waitForSelector(".messages .line");
  await page.waitForFunction((length) => document.querySelectorAll(".messages .line").length === length, {}, part.webSocket.messages.length);
  const messages = await page.$$eval(".messages .line", (all) => all.map((line) => line.textContent));
  it.expect(messages.length === part.webSocket.messages.length && messages.some((line) => line.includes("close 1000 goodbye <b>")), `the messages are ${JSON.stringify(messages)}`);
  await until("a message is shown as JSON", async () => (await page.$(".split .json")) && (await text(page, ".split .json")).includes("Events:"));
  await page.evaluate((hash) => (location.hash = hash), `#/exchange/${handshake.id}?tab=messages`);
  await page.waitForSelector(".parts a");
  await it.sees(async () => (await page.$eval(".parts a", (link) => link.hash)).includes(part.id), () => "the handshake doesn't lead to its messages");

  // Hostile values: text everywhere, controls visible, numbers and repeated names as they were written.
  await show("hostile/all", "response", ".json");
  await page.waitForFunction(() => document.querySelector(".json .line:last-child")?.textContent.includes("1.00"));
  const hostile = (await lines(page)).join("\n");
  for (const said of [MARKUP, "\\u202egnp.exe\\u202c", "\\u0007\\u001b[31m\\u0000\\u009b\\u2028", "\\ud800", "12345678901234567890", "big:1.00", "__proto__:1"]) {
    it.expect(hostile.includes(said), `the response doesn't show ${said}: ${hostile}`);
  }
  it.expect(!/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/.test(await text(page, "body")), "a control character is in the page as it is");
  for (const part of ["headers", "cookies", "wire"]) {
    await showPart("response", part, MARKUP);
    await it.look(page, `exchange-hostile-${part}`);
  }
  await showPart("response", "body");
  const foreign = await page.evaluate(() => document.querySelectorAll("main script, main img, main iframe, main style, main b > i, main u").length);
  it.expect(foreign === 0, `${foreign} elements came from a recorded value`);

  // Large ones: whatever their size, few elements, and the last line is reached.
  const drawn = () => page.evaluate(() => document.querySelectorAll("main *").length);
  for (const [operation, length, last, keys] of [
    ["big/keys", 20_001, /^at:9999$/, []],
    ["big/deep", 501, /^level 500a:"bottom"$/, []],
    ["big/list", 1 + 1 + 50_000 * 7 + 1, /^Cursor:null$/, ["z"]],
    ["big/line", 2, /^Data:"xxx.*…"5,242,886 characters$/, []],
  ]) {
    await show(operation, "response", ".json");
    await page.focus(".json");
    await press(...keys, "G");
    await it.sees(async () => (await count(page)) === length, async () => `${operation} has ${await count(page)} lines`);
    await it.sees(async () => last.test(await selected(page)), async () => `${operation} ends with ${(await selected(page)).slice(0, 100)}`);
    it.expect((await drawn()) < 2500, `${operation} has ${await drawn()} elements`);
    await press("g");
  }
  await press("G");
  await page.click(".json-foot button:not([hidden])");
  await page.waitForSelector("dialog .lines.text");
  await page.type("dialog input[type=search]", "needle");
  await until("a long value is searched", async () => (await text(page, "dialog .find-bar [role=status]")) === "1 of 1");
  await it.sees(async () => (await text(page, "dialog .lines")).endsWith("needle"), () => "a long value doesn't show its end");
  await press("Escape", "Escape", "Escape");
  await page.waitForFunction(() => !document.querySelector("dialog"));
  await show("big/text", "response", ".lines.text .line");
  await page.focus(".lines");
  await press("G");
  await it.sees(async () => (await lines(page)).at(-1).endsWith("needle") && (await drawn()) < 2500, () => "a long text doesn't show its end");
  await show("hostile/all", "request", ".json");
  await it.sees(async () => (await lines(page)).some((line) => line.endsWith("5,242,880 characters")), () => "a request of 5 MB");

  // Pictures and PDF as such, and only those.
  await show("images/get", "response", ".picture img");
  await page.waitForFunction(() => document.querySelector(".picture img").naturalWidth === 10);
  await show("bills/getPdf", "response", ".picture iframe");
  await show("pages/html", "response", ".lines.text .line");
  await page.waitForFunction(() => document.querySelectorAll(".lines .line").length > 1);
  const html = await lines(page);
  it.expect(html[0] === `<!doctype html>${MARKUP}` && html[1] === "alone\\u000dnul\\u0000", `a page is shown as ${JSON.stringify(html)}`);
  await show("broken/json", "response", ".lines.text .line");
  await it.sees(async () => (await text(page, "#tabs-response")).includes("expected a value, found `]` at character 21"), async () => `broken JSON: ${await text(page, "#tabs-response")}`);
  await show("empty/body", "response", ".blank");

  // Beside the list, the list's keys are the list's.
  await page.evaluate((hash) => (location.hash = hash), `#/traffic?open=${first}`);
  await page.waitForSelector(".side .exchange .waterfall, .side .exchange .lines");
  await page.click(".side .exchange [aria-label=Close]");
  await page.waitForFunction(() => !document.querySelector(".side .exchange"));

  // A request is sent again with another body, and leads to the exchange that it made.
  await show("reservations/getAll", "overview", ".overview");
  const resend = (await page.$$(".exchange-tools .button")).at(-2);
  await it.sees(async () => (await resend.evaluate((button) => button.textContent)) === "Resend", () => "there is no button to send it again");
  await resend.click();
  await page.waitForSelector("#resend-body");
  await it.sees(async () => (await page.$eval("#resend-body", (field) => field.value)).includes('"REDACTED:'), () => "the editor has no pseudonyms");
  await it.look(page, "exchange-resend");
  await page.$eval("#resend-body", (field) => (field.value = field.value.replace("10", "11")));
  await page.select("#resend-where", "production");
  await page.click("dialog .button.primary");
  await it.sees(async () => (await text(page, "dialog [role=alert]")).includes("Confirm"), () => "production isn't asked for");
  await page.select("#resend-where", "stand-in");
  await page.click("dialog .button.primary");
  await until("the new exchange names the old one", async () => /Sent again from/.test((await page.evaluate(() => document.querySelector(".overview")?.textContent)) ?? ""));
  const [sent] = (await serve.api("GET", "/api/v1/exchanges?order=newest&limit=1")).exchanges;
  it.expect(sent.resentFrom === id("reservations/getAll") && JSON.parse(sent.request.body).Limitation.Count === 11, `what was sent is ${JSON.stringify(sent).slice(0, 500)}`);
  await show("hostile/all", "overview", ".overview");

  // What an imported exchange says about its host is a claim.
  const other = await Serve.start(`${folder}/other`, ["--upstream", upstream.url]);
  const from = (serve, path, options) => fetch(serve.origin + path, { ...options, headers: { Authorization: `Bearer ${serve.token}` } });
  const exported = await (await from(serve, "/api/v1/exchanges?format=ndjson&operation=customers/add")).text();
  const imported = await from(other, "/api/v1/import?name=copy", { method: "POST", body: exported });
  it.expect(imported.status === 201, `the import says ${await imported.text()}`);
  const copy = await it.open(other, `#/exchange/${id("customers/add")}?tab=overview`, { name: "imported" });
  await until("an imported exchange says that it is one", async () => /Imported: .*, as claimed/s.test(await copy.evaluate(() => document.querySelector(".overview")?.textContent ?? "")));
});
