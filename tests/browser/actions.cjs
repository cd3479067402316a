// What the page's tests do on it as a person would, and what they ask the command line.
"use strict";
const { spawnSync } = require("child_process");
const { binary, until } = require("./harness.cjs");

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
/** What `review --json` says. */
const reviewed = (serve) => JSON.parse(command(serve, "review", "--session", "certification", "--json", "--fail-on", "never").stdout);

/** A row of a table, by the link in it. */
const row = (page, name) => page.$$eval("tbody tr", (rows, name) => rows.find((own) => own.querySelector("td:nth-child(2) a").innerText === name)?.innerText ?? "", name);

module.exports = { command, fillIn, hash, press, reviewed, row, says, text };
