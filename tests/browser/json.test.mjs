// The page's own JSON: index, pointers, search and comparison.
//
//   node --test tests/browser/json.test.mjs

import assert from "node:assert/strict";
import { test } from "node:test";

import { NotJson, parseJson, parseJsonNow } from "../../crates/console/page/elements/json-doc.js";
import { diffJson } from "../../crates/console/page/elements/json-diff.js";

/** The value that the index describes. */
function built(doc, value = 0) {
  if (doc.kind(value) === "[") return Array.from(doc.children(value), (child) => built(doc, child));
  if (doc.kind(value) === "{") {
    return Object.fromEntries(Array.from(doc.children(value), (child) => [doc.name(child), built(doc, child)]));
  }
  return JSON.parse(doc.raw(value));
}

/** How many lines say that something differs. */
const countChanges = (lines) => lines.filter(({ kind }) => kind !== "same" && kind !== "inside").length;

/** Pseudo-random, the same each time. */
function random(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function anyValue(next, depth) {
  switch (next(depth > 4 ? 5 : 7)) {
    case 0:
      return null;
    case 1:
      return next(2) === 0;
    case 2:
      return [0, -1, 1.5, 1e21, 123456789][next(5)];
    case 3:
      return ["", "a", 'quote " and \\ slash', "é\u001b\u202e", "\ud83d\ude00", "a/b~c"][next(6)];
    case 4:
      return "Id";
    case 5:
      return Array.from({ length: next(4) }, () => anyValue(next, depth + 1));
    default:
      return Object.fromEntries(
        Array.from({ length: next(4) }, () => [["Id", "a/b", "m~n", "", "é"][next(5)], anyValue(next, depth + 1)]),
      );
  }
}

test("the index describes what JSON.parse reads", () => {
  const next = random(7);
  for (let run = 0; run < 500; run++) {
    const value = anyValue(next, 0);
    for (const text of [JSON.stringify(value), JSON.stringify(value, null, 2), ` \n${JSON.stringify(value, null, "\t")}\r\n `]) {
      assert.deepEqual(built(parseJsonNow(text)), value, text);
    }
  }
});

test("text that isn't JSON is refused, with the place", () => {
  const broken = ["", " ", "{", "[1,", "[1,]", '{"a"}', '{"a":}', '{"a":1,}', "{a:1}", "01", "1 2", "tru", '"open', "[1}", "nulll", "+1", "1.", "[1 2]", "\u00a01"];
  for (const text of broken) {
    assert.throws(() => parseJsonNow(text), NotJson, text);
    assert.throws(() => JSON.parse(text), SyntaxError, text);
  }
  try {
    parseJsonNow('{"a": 1, b: 2}');
    assert.fail();
  } catch (error) {
    assert.equal(error.offset, 9);
    assert.equal(error.message, "expected a name, found `b`");
  }
});

test("numbers and repeated names stay as they are written", () => {
  const doc = parseJsonNow('\ufeff{"a": 12345678901234567890, "b": 1.00, "a": 2}');
  assert.deepEqual(Array.from(doc.children(0), (child) => [doc.name(child), doc.raw(child)]), [["a", "12345678901234567890"], ["b", "1.00"], ["a", "2"]]);
  assert.equal(doc.raw(doc.find("/a").value), "2");
});

test("each value's pointer leads back to it", () => {
  const next = random(11);
  for (let run = 0; run < 200; run++) {
    const doc = parseJsonNow(JSON.stringify(anyValue(next, 0)));
    for (let value = 0; value < doc.count; value++) {
      assert.deepEqual(doc.find(doc.pointer(value)), { value, exact: true });
    }
  }
  const doc = parseJsonNow('{"a/b": {"m~n": [10, {"": "x"}]}}');
  assert.equal(doc.pointer(5), "/a~1b/m~0n/1/");
  assert.deepEqual(doc.find("/a~1b/m~0n/7/x"), { value: 2, exact: false });
  assert.deepEqual(doc.find("/a~1b/m~0n/01"), { value: 2, exact: false });
  assert.deepEqual(doc.find(""), { value: 0, exact: true });
});

test("search finds names and scalars in any case, also behind escapes", () => {
  const doc = parseJsonNow('{"State": "Open", "caf\\u00e9": [true, "OPENED", 42], "x\\ny": {"State2": null, "q": "a\\"b"}}');
  const found = (text) => doc.search(text).map((value) => doc.pointer(value));
  assert.deepEqual(found("open"), ["/State", "/café/1"]);
  assert.deepEqual(found("state"), ["/State", "/x\ny/State2"]);
  assert.deepEqual(found("CAFÉ"), ["/café"]);
  assert.deepEqual(found("é"), ["/café"]);
  assert.deepEqual(found("u00e9"), []);
  assert.deepEqual(found("\n"), ["/x\ny"]);
  assert.deepEqual(found('"'), ["/x\ny/q"]);
  assert.deepEqual(found("42"), ["/café/2"]);
  assert.deepEqual(found("t"), ["/State", "/café/0", "/x\ny/State2"]);
  assert.deepEqual(found(": "), []);
  assert.deepEqual(found(""), []);
  assert.deepEqual(found(".*"), []);
});

test("search agrees with a walk over all values", () => {
  const next = random(3);
  for (let run = 0; run < 200; run++) {
    const doc = parseJsonNow(JSON.stringify(anyValue(next, 0), null, next(3)));
    for (const text of ["a", "ID", "1", "é", "e", "\u001b", "/b", "\\", '"', "😀", "quote"]) {
      const walked = [];
      for (let value = 0; value < doc.count; value++) {
        const texts = [doc.name(value), doc.isContainer(value) ? null : doc.scalar(value)];
        if (texts.some((one) => one !== null && one.toLowerCase().includes(text.toLowerCase()))) walked.push(value);
      }
      assert.deepEqual(doc.search(text), walked, `${JSON.stringify(text)} in ${doc.text}`);
    }
  }
});

test("hostile sizes take bounded time and no stack", async () => {
  const deep = parseJsonNow(`${"[".repeat(100_000)}1${"]".repeat(100_000)}`);
  assert.equal(deep.count, 100_001);
  assert.equal(deep.depths[100_000], 100_000);
  assert.equal(deep.pointer(100_000).length, 200_000);
  const wide = parseJsonNow(JSON.stringify(Object.fromEntries(Array.from({ length: 10_000 }, (_, at) => [`key${at}`, at]))));
  assert.equal(wide.sizes[0], 10_000);
  const quotes = parseJsonNow(JSON.stringify("\\\"".repeat(1_000_000)));
  assert.equal(quotes.count, 1);
  assert.equal(quotes.search('"').length, 1);
  const long = parseJsonNow(`["${"a".repeat(5 << 20)}"]`);
  assert.deepEqual(long.search("A"), [1]);
  assert.throws(() => parseJsonNow(`[${"1,".repeat(600_000)}1]`), /more than 600,000 values/);
  let turns = 0;
  const counting = setInterval(() => turns++);
  const sliced = await parseJson(`[${"1,".repeat(500_000)}1]`, { budget: 1 });
  clearInterval(counting);
  assert.equal(sliced.count, 500_002);
  assert.ok(turns > 0, "other work has its turn");
  await assert.rejects(parseJson(`[${"1,".repeat(50_000)}1]`, { budget: 0, signal: AbortSignal.abort() }), { name: "AbortError" });
});

/** Lines as text: `~ /a 1 2`. */
function told(left, right) {
  const [a, b] = [parseJsonNow(left), parseJsonNow(right)];
  const signs = { same: "=", inside: " ", changed: "~", removed: "-", added: "+" };
  return diffJson(a, b).map(({ kind, left: x, right: y }) => {
    const where = x >= 0 ? a.pointer(x) : b.pointer(y);
    const values = kind === "inside" || kind === "same" ? [] : [x >= 0 && a.raw(x), y >= 0 && b.raw(y)].filter((text) => text !== false);
    return [signs[kind], where || ".", ...values].join(" ");
  });
}

test("a comparison says what changed", () => {
  assert.deepEqual(told('{"a":1,"b":[1,2]}', '{ "b": [1, 2], "a": 1 }'), ["= ."]);
  assert.deepEqual(told('{"a":1,"b":2}', '{"b":3,"c":4}'), ["  .", "- /a 1", "~ /b 2 3", "+ /c 4"]);
  assert.deepEqual(told("[1,2,3,4]", "[1,3,4,5]"), ["  .", "= /0", "- /1 2", "= /2", "= /3", "+ /3 5"]);
  assert.deepEqual(told("[1]", '{"0":1}'), ["~ . [1] {\"0\":1}"]);
  assert.deepEqual(told("1.0", "1"), ["~ . 1.0 1"]);
  assert.deepEqual(told('"\\u00e9"', '"é"'), ["= ."]);
  assert.deepEqual(told("[]", "[[]]"), ["  .", "+ /0 []"]);
  assert.deepEqual(told('{"a":1,"a":2}', '{"a":1,"a":3}'), ["  .", "= /a", "~ /a 2 3"]);
});

test("items are matched by their Id", () => {
  const left = '[{"Id":"1","S":"a"},{"Id":"2","S":"b"},{"Id":"3","S":"c"}]';
  const right = '[{"Id":"2","S":"b"},{"Id":"3","S":"d"},{"Id":"4","S":"a"}]';
  assert.deepEqual(told(left, right), ["  .", '- /0 {"Id":"1","S":"a"}', "= /1", "  /2", "= /2/Id", '~ /2/S "c" "d"', '+ /2 {"Id":"4","S":"a"}']);
  // Without an Id of their own, by value and then by position.
  const [twice, other] = ['[{"Id":"1"},{"Id":"1","x":1}]', '[{"Id":"1"},{"Id":"1","x":2}]'];
  assert.deepEqual(told(twice, other), ["  .", "= /0", "  /1", "= /1/Id", "~ /1/x 1 2"]);
});

/** The right document's items, rebuilt from the left one's by the lines. */
test("the lines of a comparison lead from one document to the other", () => {
  const next = random(5);
  for (let run = 0; run < 400; run++) {
    const [a, b] = [anyValue(next, 0), next(2) ? anyValue(next, 0) : null];
    const other = b ?? changed(a, next);
    const [left, right] = [parseJsonNow(JSON.stringify(a)), parseJsonNow(JSON.stringify(other, null, 1))];
    const lines = diffJson(left, right);
    const covered = [new Set(), new Set()];
    for (const { kind, left: x, right: y } of lines) {
      if (kind === "same") assert.deepEqual(built(left, x), built(right, y));
      if (kind === "inside") assert.notDeepEqual(built(left, x), built(right, y));
      for (const [doc, value, set] of [[left, x, covered[0]], [right, y, covered[1]]]) {
        if (value < 0) continue;
        const end = kind === "inside" ? value + 1 : doc.nexts[value];
        for (let at = value; at < end; at++) {
          assert.ok(!set.has(at), "each value once");
          set.add(at);
        }
      }
    }
    assert.deepEqual([covered[0].size, covered[1].size], [left.count, right.count], "all values");
    assert.equal(countChanges(lines) === 0, JSON.stringify(sorted(a)) === JSON.stringify(sorted(other)));
  }
});

function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.keys(value).sort().map((name) => [name, sorted(value[name])]));
}

function changed(value, next) {
  if (Array.isArray(value)) {
    const items = value.map((item) => (next(3) ? item : changed(item, next)));
    if (next(2)) items.splice(next(items.length + 1), next(2), anyValue(next, 3));
    return items;
  }
  if (value === null || typeof value !== "object") return next(2) ? value : anyValue(next, 4);
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, next(2) ? one : changed(one, next)]));
}

test("long lists are compared in bounded time", () => {
  const of = (length, value) => JSON.stringify(Array.from({ length }, (_, at) => value(at)));
  const shifted = diffJson(parseJsonNow(of(20_000, (at) => at)), parseJsonNow(of(20_000, (at) => at + 100)));
  assert.equal(countChanges(shifted), 200);
  const unlike = diffJson(parseJsonNow(of(20_000, (at) => at)), parseJsonNow(of(20_000, (at) => -at - 1)));
  assert.equal(countChanges(unlike), 20_000);
  const reversed = diffJson(parseJsonNow(of(5000, (at) => ({ Id: `${at}` }))), parseJsonNow(of(5000, (at) => ({ Id: `${5000 - at}` }))));
  assert.equal(countChanges(reversed), 9998);
  const deep = (inside) => parseJsonNow(`${"[".repeat(50_000)}${inside}${"]".repeat(50_000)}`);
  assert.equal(countChanges(diffJson(deep("1"), deep("2"))), 1);
});
