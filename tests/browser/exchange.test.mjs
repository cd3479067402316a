// What the exchange's view says, as far as it needs no browser.
//
//   node --test tests/browser/exchange.test.mjs

import assert from "node:assert/strict";
import { test } from "node:test";

import { remarksOf } from "../../crates/console/page/elements/contract.js";
import { sizes } from "../../crates/console/page/elements/body.js";
import { cookies } from "../../crates/console/page/elements/headers.js";
import { kindOf } from "../../crates/console/page/elements/messages.js";
import { lineStarts } from "../../crates/console/page/elements/text-view.js";
import { phases } from "../../crates/console/page/elements/waterfall.js";

test("the phases are those that the times tell", () => {
  const told = (times, waited = 0) => phases({ forwarded: null, responseHead: null, responseEnd: null, ...times }, waited).map(({ name, from, until }) => `${name} ${from}-${until}`);
  assert.deepEqual(told({ forwarded: 210, responseHead: 84_312, responseEnd: 85_120 }), ["Received, connected 0-210", "Waited for Mews 210-84312", "Response 84312-85120"]);
  assert.deepEqual(told({ forwarded: 1_500_400, responseHead: 1_600_000, responseEnd: 1_600_100 }, 1500), ["Waited for the limit 0-1500000", "Received, connected 1500000-1500400", "Waited for Mews 1500400-1600000", "Response 1600000-1600100"]);
  assert.deepEqual(told({ responseHead: 120, responseEnd: 130 }), ["Not forwarded 0-130"]);
  assert.deepEqual(told({ forwarded: 200, responseEnd: 10_000_000 }), ["Received, connected 0-200", "No response 200-10000000"]);
  assert.deepEqual(told({ forwarded: 200 }), ["Received, connected 0-200"]);
  // Delayed, and then left: no longer than it lasted.
  assert.deepEqual(told({ responseEnd: 900_000 }, 1500), ["Waited for the limit 0-900000", "Not forwarded 900000-900000"]);
  assert.deepEqual(told({}), []);
});

test("cookies of requests and responses", () => {
  const of = (name, value) => cookies([{ name, value }]).map(({ name, value, about }) => [name, value, ...about]);
  assert.deepEqual(of("Cookie", "session=42; theme=dark=1; lone; =y;; "), [["session", "42"], ["theme", "dark=1"], ["", "lone"], ["", "y"]]);
  assert.deepEqual(of("set-cookie", "sid=a=b; Path=/; HttpOnly"), [["sid", "a=b", "Path=/", "HttpOnly"]]);
  assert.deepEqual(of("Cookies", "a=b"), []);
  assert.deepEqual(of("Set-Cookie", ""), [["", ""]]);
  assert.deepEqual(of("Cookie", "a=\nb"), [["a", "b"]]);
});

test("a close frame has its code and reason", () => {
  const of = (opcode, body, bodyEncoding = "utf-8") => kindOf({ opcode, body, bodyEncoding });
  assert.equal(of(8, "A+g=", "base64"), "close 1000");
  assert.equal(of(8, Buffer.from([3, 233, ...Buffer.from("weg é")]).toString("base64"), "base64"), "close 1001 weg é");
  assert.equal(of(8, null, null), "close");
  assert.equal(of(8, "A", "utf-8"), "close");
  assert.deepEqual([1, 2, 9, 10, 3].map((opcode) => of(opcode, "")), ["text", "binary", "ping", "pong", "opcode 3"]);
});

test("lines are as long as they may be, and break no character", () => {
  const told = (text, columns) => {
    const starts = lineStarts(text, columns);
    return Array.from(starts.subarray(0, -1), (start, at) => text.slice(start, starts[at + 1]));
  };
  assert.deepEqual(told("abcdef", 4), ["abcd", "ef"]);
  assert.deepEqual(told("abcd\r\nef\n", 4), ["abcd\r\n", "ef\n"]);
  assert.deepEqual(told("\n\na", 4), ["\n", "\n", "a"]);
  assert.deepEqual(told("abc😀d", 4), ["abc😀", "d"]);
  assert.deepEqual(told("", 4), []);
  for (const text of ["a".repeat(1001), "x\r\n".repeat(50), "😀".repeat(99), " \n \r\n"]) {
    for (const columns of [1, 2, 3, 7, 80]) assert.equal(told(text, columns).join(""), text);
  }
});

test("sizes on the wire and decoded", () => {
  const body = { body: "é".repeat(600), bodyEncoding: "utf-8", bodyLength: 412, truncated: false };
  assert.equal(sizes({ ...body, contentEncoding: "gzip", wireBody: "AAAA" }), "412 B on the wire (gzip), 1.2 KiB decoded");
  assert.equal(sizes(body), "412 B");
  assert.equal(sizes({ ...body, contentEncoding: "nonsense", undecoded: true }), "412 B");
});

test("a finding says what was expected and what is there", () => {
  const finding = { pointer: "/Limitation/Count", message: "", expected: "1 to 1000", found: "5000", kind: "out-of-range", disputed: null, ends: null };
  assert.deepEqual(remarksOf({ findings: [finding, { ...finding, ends: "2026-01-10" }] }).map(({ text }) => text), ["expected 1 to 1000, found 5000", "expected 1 to 1000, found 5000; ends on 2026-01-10"]);
  assert.deepEqual(remarksOf(null), []);
});
