// The page's scripts as they are sent mean what is written: same syntax tree, same names, same texts.
"use strict";
const fs = require("fs");
const path = require("path");
const { Serve, test } = require("./harness.cjs");

let ts;
try {
  ts = require("typescript");
} catch {
  console.error("skipped: scripts as they are sent (typescript is not installed)");
  process.exit(0);
}

const folder = path.resolve(__dirname, "../../crates/console/page");

/** A script's syntax tree as text: the kind of each node, and what names and literals say. */
function tree(text) {
  const source = ts.createSourceFile("script.js", text, ts.ScriptTarget.Latest, true, ts.ScriptKind.JS);
  if (source.parseDiagnostics.length) return `at ${source.parseDiagnostics[0].start}: ${source.parseDiagnostics[0].messageText}`;
  const found = [];
  const visit = (node) => {
    found.push(node.kind);
    if (ts.isIdentifier(node) || ts.isPrivateIdentifier(node) || ts.isLiteralExpression(node) || ts.isTemplateLiteralToken(node)) found.push(node.text);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return JSON.stringify(found);
}

test(async (it, data) => {
  const serve = await Serve.start(data, ["--upstream", "http://127.0.0.1:9"]);
  const scripts = fs.readdirSync(folder, { recursive: true }).filter((name) => name.endsWith(".js"));
  it.expect(scripts.length > 10, `${scripts.length} scripts`);
  for (const name of scripts) {
    const response = await fetch(`${serve.origin}/page/${name}`);
    const [written, sent] = [fs.readFileSync(path.join(folder, name), "utf8"), await response.text()];
    it.expect(response.ok && tree(sent) === tree(written), `${name} is sent as something else`);
    it.expect(tree(written) !== tree(`${written}\n;x`), `${name}: trees of different scripts are the same`);
  }
});
