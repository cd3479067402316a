// The page's modules that need no browser: the filter's language, the words for figures, addresses, the stream's events.
//
//   node tests/browser/modules.test.mjs
import assert from "node:assert/strict";
import test from "node:test";

const page = (name) => import(new URL(`../../crates/console/page/${name}`, import.meta.url));
const { parse, write, resolve, instant } = await page("filter.js");
const format = await page("format.js");
const { Events } = await page("api.js");
const router = await page("router.js");
const { visible } = await page("dom.js");
const { suggested } = await page("elements/filter-line.js");

test("a filter is read as `top` reads it", () => {
  for (const [text, pairs] of [
    ["", []],
    ["4xx rates/*", [["status", "4xx"], ["operation", "rates/*"]]],
    ["reserv", [["operation", "*reserv*"]]],
    ["!reserv", [["operation", "!*reserv*"]]],
    ["!5xx", [["status", "!5xx"]]],
    ["429,500-599", [["status", "429,500-599"]]],
    ['client="Acme Kiosk*" --outcome=failed', [["client", "Acme Kiosk*"], ["outcome", "failed"]]],
    ["contains=\"it's\"", [["contains", "it's"]]],
    ["contains=a=b", [["contains", "a=b"]]],
  ]) {
    assert.deepEqual(parse(text), pairs, text);
    assert.deepEqual(parse(write(parse(text))), pairs, text);
  }
  for (const pairs of [[["contains", "say \"it's\" twice"]], [["client", "!\\'\""]], [["contains", " blanks "]]]) assert.deepEqual(parse(write(pairs)), pairs);
  assert.throws(() => parse("client='Acme"), /quotation mark/);
});

test("times are local, and latest", () => {
  const now = new Date(2026, 10, 24, 0, 10).getTime();
  const at = (...parts) => new Date(...parts).getTime();
  for (const [text, expected] of [
    ["10m", now - 600_000],
    ["1.5h", now - 5_400_000],
    ["0:05", at(2026, 10, 24, 0, 5)],
    ["23:50:00.123", at(2026, 10, 23, 23, 50, 0, 123)],
    ["2026-11-23", at(2026, 10, 23)],
    ["2026-11-23 12:00", at(2026, 10, 23, 12)],
    ["2026-02-30", null],
    ["25:00", null],
    ["2026-11-23T12:00:00Z", null],
    ["", null],
    ["tomorrow", null],
  ]) assert.equal(instant(text, now, null), expected, text);
  const since = instant("23:50", now, null);
  assert.equal(instant("00:05", now, since), at(2026, 10, 24, 0, 5));
  const query = resolve([["since", "23:50"], ["until", "00:05"], ["status", "4xx"]], now);
  assert.equal(query.get("until"), new Date(2026, 10, 24, 0, 5).toISOString());
  assert.equal(resolve([["since", "2026-11-23T12:00:00+02:00"]], now).get("since"), "2026-11-23T12:00:00+02:00");
});

test("figures are written as `tail` writes them", () => {
  assert.deepEqual([999, 1_000, 84_321, 99_950, 250_400, 1_250_000, 200_000_000].map(format.duration), ["999 us", "1.0 ms", "84.3 ms", "100.0 ms", "250 ms", "1.25 s", "3m 20s"]);
  assert.deepEqual([0, 412, 1024, 2048, 5 << 20].map(format.size), ["0 B", "412 B", "1.0 KiB", "2.0 KiB", "5.0 MiB"]);
  assert.deepEqual([42, 200, 171_000, 439_200].map(format.span), ["42s", "3m 20s", "47h 30m", "5d 2h"]);
  assert.deepEqual([null, 200, 301, 404, 503, 101].map(format.statusLevel), ["bad", "good", "info", "warn", "bad", "info"]);
});

test("a stream in any pieces has the same events", () => {
  const stream = 'id: 0-5\n\n:\n\nid: A\nevent: row\ndata: {"a":1}\n\nevent: missed\ndata: 3\n\nid: B\nevent: row\ndata: {"b":"\\n\\n"}\n\n';
  for (let size = 1; size < stream.length; size++) {
    const events = new Events();
    const found = [];
    for (let at = 0; at < stream.length; at += size) found.push(...events.read(stream.slice(at, at + size)));
    assert.deepEqual(found, [{ type: "row", data: '{"a":1}' }, { type: "missed", data: "3" }, { type: "row", data: '{"b":"\\n\\n"}' }], `in pieces of ${size}`);
    assert.equal(events.lastId, "B");
  }
  const half = new Events();
  half.read("id: A\nevent: row\nda");
  assert.equal(half.lastId, "", "an event that is cut off is not resumed after");
});

test("addresses hold any text", () => {
  for (const path of [["traffic"], ["run", "a/b?c#d e%"], ["exchange", "日本"]]) {
    const query = { "client!": "a&b=c#d é", operation: "rates/*,!x" };
    const route = router.parse(router.address(path, query));
    assert.deepEqual(route.path, path);
    assert.deepEqual(Object.fromEntries(route.query), query);
  }
  assert.deepEqual(router.parse("#/traffic?x=%zz").path, ["traffic"]);
  assert.deepEqual(router.parse("#/%zz").path, ["%zz"]);
});

test("what controls a browser's text is shown instead", () => {
  assert.equal(visible("a\u202egnp.exe\u0007\u2028\u009b\ud800é😀"), "a\\u202egnp.exe\\u0007\\u2028\\u009b\\ud800é😀");
  assert.equal(visible("x".repeat(600)).length, 501);
});

test("completion offers what there is, and its number", () => {
  const facets = { sessions: [{ id: "1", name: "a b", count: 2 }], operations: [{ name: "rates/getAll", count: 3 }, { name: "x\u202e", count: 1 }], statuses: [{ status: 200, count: 5 }, { status: 429, count: 2 }, { status: null, count: 1 }], outcomes: [], tokens: [{ pseudonym: "REDACTED:b1946ac92492", count: 7 }], clients: [] };
  const inserts = (text) => suggested(text, facets).map(({ insert, count }) => `${insert} ${count}`);
  assert.deepEqual(inserts("session="), ['session="a b" 2']);
  assert.deepEqual(inserts("operation=!ra"), ["operation=!rates/getAll 3"]);
  assert.deepEqual(inserts("status=4xx,4"), ["status=4xx,4xx 2", "status=4xx,429 2"]);
  assert.deepEqual(inserts("token="), ["token=b1946ac92492 7"]);
  assert.ok(inserts("outcome=fai")[0].startsWith("outcome=failed"));
  assert.ok(inserts("sta").includes("status= null"));
  assert.deepEqual(inserts("rates"), ["operation=rates/getAll 3"]);
});
