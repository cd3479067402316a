// Whether the libraries that Postman and the users of OpenAPI have read what nightaudit exports.
//
// node exports.cjs OPENAPI POSTMAN
//
// NODE_PATH has @apidevtools/swagger-parser and postman-collection. Prints what was read, and ends with 1 at the first mistake.
"use strict";
const assert = require("assert");
const fs = require("fs");
const { createRequire } = require("module");
const path = require("path");
const { pathToFileURL } = require("url");

const [openapi, postman] = process.argv.slice(2);

/** A package in NODE_PATH, which `import` doesn't look at. @param {string} name */
const load = (name) => import(pathToFileURL(createRequire(path.join(process.env.NODE_PATH, "here.js")).resolve(name)).href);

/** Against the schema of OpenAPI, and what the schema can't say: references, parameters, duplicate ids. */
async function readOpenApi() {
  const { default: parser } = await load("@apidevtools/swagger-parser");
  const document = JSON.parse(fs.readFileSync(openapi, "utf8"));
  await parser.validate(structuredClone(document));
  const operations = Object.values(document.paths).flatMap((item) => Object.values(item));
  console.log(`openapi ${document.openapi} ${operations.length} operations`);
  // It does find mistakes.
  document.paths["/x"] = { post: { operationId: operations[0].operationId, responses: 5 } };
  await assert.rejects(parser.validate(document));
}

/** What Postman's own library makes of the collection is what the file says. */
function readPostman() {
  const { Collection } = require("postman-collection");
  const written = JSON.parse(fs.readFileSync(postman, "utf8"));
  const read = new Collection(structuredClone(written));
  const flat = (items) => items.flatMap((item) => (item.item ? flat(item.item) : [item]));
  const expected = flat(written.item);
  const found = [];
  read.forEachItem((item) => found.push(item));
  assert.deepStrictEqual(found.map((item) => item.name), expected.map((item) => item.name));
  const raw = (url) => (typeof url === "string" ? url : url.raw);
  found.forEach((item, at) => {
    const { request, response = [] } = expected[at];
    assert.strictEqual(item.request.method, request.method);
    assert.strictEqual(item.request.url.toString(), raw(request.url));
    assert.deepStrictEqual(item.request.headers.map(({ key, value }) => [key, value]), (request.header ?? []).map(({ key, value }) => [key, value]));
    assert.strictEqual(item.request.body?.raw, request.body?.raw);
    const responses = item.responses.map((own) => [own.name, own.code, own.body]);
    assert.deepStrictEqual(responses, response.map((own) => [own.name, own.code, own.body]));
  });
  console.log(`postman ${found.length} requests, ${read.variables.count()} variables`);
}

(async () => {
  await readOpenApi();
  readPostman();
})().catch((error) => {
  console.log(error.stack);
  process.exit(1);
});
