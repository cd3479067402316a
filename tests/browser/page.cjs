// Serves the page's files from their folder, and everything else from a console: an edited file is there at the next
// reload, without a build. For work on the page; what is shipped is in the program.
//
//   node tests/browser/page.cjs [PORT [CONSOLE]]
//
// PORT is 8090 and CONSOLE http://127.0.0.1:8081 unless given. Open http://127.0.0.1:PORT/#token=… with the console's token.
"use strict";
const fs = require("fs");
const http = require("http");
const path = require("path");

const port = Number(process.argv[2] || 8090);
const upstream = new URL(process.argv[3] || "http://127.0.0.1:8081");
const folder = path.resolve(__dirname, "../../crates/console/page");
const types = { html: "text/html; charset=utf-8", css: "text/css; charset=utf-8", js: "text/javascript; charset=utf-8" };
Object.assign(types, { svg: "image/svg+xml", ico: "image/x-icon", png: "image/png" });

// The headers of a file are the console's own, so that its policy holds here too.
let headers = {};
http.get(new URL("/page/index.html", upstream), (response) => {
  headers = { ...response.headers };
  for (const name of ["content-type", "content-length", "etag", "date", "connection"]) delete headers[name];
  headers["cache-control"] = "no-store";
  response.resume();
}).on("error", (error) => {
  console.error(`${upstream} can't be reached: start \`nightaudit serve\` first (${error.message})`);
  process.exit(1);
});

function file(asked, response) {
  const name = path.resolve(folder, `.${path.posix.normalize(asked)}`);
  const type = types[path.extname(name).slice(1)];
  const inside = name.startsWith(folder + path.sep) && type && fs.existsSync(name);
  response.writeHead(inside ? 200 : 404, { ...headers, "content-type": inside ? type : "text/plain" });
  response.end(inside ? fs.readFileSync(name) : "no such file");
}

function forward(request, response) {
  const options = { method: request.method, headers: { ...request.headers, host: upstream.host } };
  const on = http.request(new URL(request.url, upstream), options, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  on.on("error", (error) => response.headersSent ? response.destroy() : response.writeHead(502).end(String(error)));
  response.on("close", () => on.destroy());
  request.pipe(on);
}

const server = http.createServer((request, response) => {
  const asked = decodeURI(request.url.split("?")[0]);
  if (asked.startsWith("/page/")) file(asked.slice("/page".length), response);
  else if (asked === "/" && (request.headers.accept || "").includes("text/html")) file("/index.html", response);
  else forward(request, response);
});
server.listen(port, "127.0.0.1", () => console.log(`http://127.0.0.1:${port}/`));
