// Opens a run report in a browser and holds what it shows against the data in it.
//
// node check.mjs REPORT.html [--screenshots DIR] [--expect-state complete|failed|interrupted|planned] [--hostile]

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { pathToFileURL } from "node:url";
import { gunzipSync } from "node:zlib";
import { chromium } from "playwright-core";

const BROWSER_ARGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];
const DESKTOP = { width: 1280, height: 900 };
const PHONE = { width: 390, height: 844 };
const OUTCOMES = {
  c: "complete", r: "ran", f: "failed", b: "blocked", i: "interrupted", l: "left", e: "elsewhere", u: "unneeded",
};
const OPEN_AT_START = 60;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    screenshots: { type: "string" },
    "expect-state": { type: "string" },
    hostile: { type: "boolean", default: false },
  },
});
if (positionals.length !== 1) {
  console.error("usage: node check.mjs REPORT.html [--screenshots DIR] [--expect-state STATE] [--hostile]");
  process.exit(2);
}
const file = resolve(positionals[0]);
const address = pathToFileURL(file).href;
const name = basename(file, ".html");
const data = dataOf(readFileSync(file, "utf8"));
const failed = [...data.tasks.outcome].flatMap((letter, task) => (letter === "f" ? [task] : []));

let passed = 0;
let broken = 0;

function dataOf(page) {
  const [, packed] = page.match(/<script type="application\/octet-stream" id="data">([A-Za-z0-9+/=\s]*)<\/script>/) ?? [];
  assert(packed, "the report holds no data");
  return JSON.parse(gunzipSync(Buffer.from(packed, "base64")).toString("utf8"));
}

async function check(what, action) {
  try {
    await action();
    passed += 1;
    console.log(`ok      ${what}`);
  } catch (error) {
    broken += 1;
    console.log(`FAILED  ${what}: ${error.message}`);
  }
}

/** A page of the report; what goes wrong in it is kept in `troubles`. */
async function openReport(browser, { viewport = DESKTOP, scheme = "light", bypassCSP = false } = {}) {
  const context = await browser.newContext({ viewport, colorScheme: scheme, bypassCSP, hasTouch: viewport === PHONE });
  const page = await context.newPage();
  const troubles = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") troubles.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => troubles.push(`error: ${error.message}`));
  page.on("request", (request) => {
    if (request.url().split("#")[0] !== address) troubles.push(`request: ${request.url().slice(0, 200)}`);
  });
  page.on("dialog", (dialog) => {
    troubles.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  await page.goto(address);
  await page.waitForSelector("main:not([aria-busy])", { timeout: 60_000 });
  return { page, troubles, close: () => context.close() };
}

async function screenshot(page, view, full = false) {
  if (!options.screenshots) return;
  mkdirSync(options.screenshots, { recursive: true });
  await page.screenshot({ path: join(options.screenshots, `${name}-${view}.png`), fullPage: full });
}

const grouped = (count) => new Intl.NumberFormat("en-US").format(count);
const rowCount = async (page) => Number(await page.getAttribute("#tasks table", "aria-rowcount")) - 1;
const panelTitle = (page) => page.locator("#panel h2").textContent();

async function checkHeader(page) {
  await check("the title is the roots", async () => {
    assert.equal(await page.textContent("h1"), data.title);
  });
  await check(`the state is ${data.state}`, async () => {
    const shown = (await page.textContent("#state")).trim().toLowerCase();
    assert.equal(shown, data.state);
    if (options["expect-state"]) assert.equal(shown, options["expect-state"]);
    assert.equal(await page.locator("#state svg").count(), 1);
  });
  await check("the counts are those of the data", async () => {
    for (const [letter, count] of Object.entries(OUTCOMES).map(([letter, member]) => [letter, data.counts[member]])) {
      const chip = page.locator(`.chip[data-outcome="${letter}"]`);
      if (count > 0) assert.equal(await chip.locator("b").textContent(), grouped(count));
      else assert(letter === "f" || (await chip.count()) === 0, `a chip for ${OUTCOMES[letter]} and none have it`);
    }
  });
  await check("workspace, host and workers are shown", async () => {
    const facts = await page.textContent("#facts");
    for (const value of [data.workspace, data.host, String(data.pid), grouped(data.workers)]) assert(facts.includes(value), value);
  });
}

async function checkTable(page) {
  const count = data.tasks.key.length;
  await check(`the table has ${count} rows, and only those in view are in the document`, async () => {
    assert.equal(await rowCount(page), count);
    const drawn = await page.locator("#tasks tbody tr[data-task]").count();
    assert(drawn > 0 && drawn <= 80, `${drawn} rows in the document`);
  });
  await check("scrolling to the end shows the last row", async () => {
    await page.locator("#tasks .table-view").evaluate((view) => { view.scrollTop = view.scrollHeight; });
    await page.waitForSelector(`#tasks tr[aria-rowindex="${count + 1}"]`, { timeout: 5000 });
    await page.locator("#tasks .table-view").evaluate((view) => { view.scrollTop = 0; });
    await page.waitForSelector('#tasks tr[aria-rowindex="2"]', { timeout: 5000 });
  });
  await check("a search for a key leaves its task alone", async () => {
    await page.fill("#query", data.tasks.key[count - 1]);
    await page.waitForFunction(() => document.querySelector("#tasks table").getAttribute("aria-rowcount") === "2");
    assert.equal(await page.getAttribute("#tasks tr[data-task]", "data-task"), String(count - 1));
    await page.fill("#query", "nothing has this in it 7f3a");
    await page.waitForFunction(() => document.querySelector("#tasks table").getAttribute("aria-rowcount") === "1");
    assert(await page.locator("#tasks").getByText("Nothing matches.").isVisible());
    await page.fill("#query", "");
    await page.waitForFunction((rows) => document.querySelector("#tasks table").getAttribute("aria-rowcount") === rows, String(count + 1));
  });
  await check("each chip leaves the tasks of its outcome", async () => {
    for (const letter of new Set(data.tasks.outcome)) {
      const chip = page.locator(`.chip[data-outcome="${letter}"]`);
      await chip.click();
      assert.equal(await chip.getAttribute("aria-pressed"), "true");
      assert.equal(await rowCount(page), [...data.tasks.outcome].filter((other) => other === letter).length);
      await chip.click();
    }
    assert.equal(await rowCount(page), count);
  });
  await check("a column sorts both ways", async () => {
    const head = page.locator("#tasks th.time");
    await head.locator("button").click();
    assert.equal(await head.getAttribute("aria-sort"), "descending");
    const slow = await firstTime(page);
    await head.locator("button").click();
    assert.equal(await head.getAttribute("aria-sort"), "ascending");
    const times = lastTimes();
    assert.equal(slow, times.length ? Math.max(...times.map(([, time]) => time)) : undefined);
    await page.locator("#tasks th.outcome button").click();
  });
}

function lastTimes() {
  const last = new Map();
  for (const [task, number, start, end] of data.attempts) {
    if (!last.has(task) || last.get(task)[0] < number) last.set(task, [number, end - start]);
  }
  return [...last].map(([task, [, time]]) => [task, time]);
}

async function firstTime(page) {
  const first = Number(await page.getAttribute("#tasks tr[data-task]", "data-task"));
  return lastTimes().find(([task]) => task === first)?.[1];
}

async function checkGraph(page) {
  await check("the graph has a node for each family", async () => {
    const families = new Set(data.tasks.family).size;
    assert.equal(await page.locator("#graph .family-head").count(), families);
  });
  await check("opening a family adds its tasks, closing it takes them away", async () => {
    const head = page.locator("#graph .family-head").first();
    if (data.tasks.key.length <= OPEN_AT_START) {
      assert.equal(await page.locator("#graph .task-row").count(), data.tasks.key.length);
      await head.press("Enter");
    }
    const before = await page.locator("#graph .node").count();
    assert.equal(await head.getAttribute("aria-expanded"), "false");
    await head.press("Enter");
    const family = Number(await head.getAttribute("data-family"));
    const members = data.tasks.family.filter((other) => other === family).length;
    assert.equal(await page.locator("#graph .node").count(), before + Math.min(members, 60));
    if (members > 60) assert(await page.getByText(`and ${grouped(members - 60)} more`).isVisible());
    await head.press("Enter");
    assert.equal(await page.locator("#graph .node").count(), before);
    if (data.tasks.key.length <= OPEN_AT_START) await head.press("Enter");
  });
  await check("arrow keys move in the graph, and it has one tab stop", async () => {
    const nodes = page.locator("#graph .node");
    if ((await nodes.count()) < 2) return;
    assert.equal(await page.locator('#graph .node[tabindex="0"]').count(), 1);
    const names = () => page.evaluate(() => document.activeElement.title);
    const moves = new Set();
    for (const key of ["ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp"]) {
      await nodes.first().focus();
      await page.keyboard.press(key);
      moves.add(await names());
    }
    assert(moves.size > 1, "no arrow key moves from the first node");
    assert.equal(await page.locator('#graph .node[tabindex="0"]').count(), 1);
  });
  await check("edges are drawn", async () => {
    const across = data.tasks.requires.some((row) => row.length > 0);
    assert.equal((await page.locator("#graph .edge").count()) > 0, across);
  });
}

async function checkPanel(page) {
  await check("a row opens its task in the panel", async () => {
    const row = page.locator("#tasks tr[data-task]").first();
    const task = Number(await row.getAttribute("data-task"));
    await row.locator("button").click();
    await page.waitForSelector("#panel:not([hidden])");
    assert.equal(await panelTitle(page), data.tasks.label[task]);
    const panel = await page.textContent("#panel");
    const key = data.tasks.key[task];
    for (const value of [key, data.tasks.path[task].replaceAll("{key}", key), data.families[data.tasks.family[task]].name]) {
      assert(panel.includes(value), `the panel lacks ${value.slice(0, 80)}`);
    }
    await screenshot(page, "panel");
    await page.keyboard.press("Escape");
    assert(await page.locator("#panel").isHidden());
    assert.equal(await page.evaluate(() => document.activeElement.closest("tr")?.dataset.task), String(task));
  });
  await check("what a task requires is a link to it", async () => {
    const task = data.tasks.requires.findIndex((row) => row.length > 0);
    if (task < 0) return;
    await page.fill("#query", data.tasks.key[task]);
    await page.waitForFunction(() => document.querySelector("#tasks table").getAttribute("aria-rowcount") === "2");
    await page.locator("#tasks tr[data-task] button").click();
    await page.waitForSelector("#panel .panel-links");
    await page.locator("#panel .panel-links").first().locator("button").first().click();
    const required = data.tasks.label[data.tasks.requires[task][0]];
    await page.waitForFunction((label) => document.querySelector("#panel h2").textContent === label, required);
    await page.goBack();
    await page.waitForFunction((label) => document.querySelector("#panel h2").textContent === label, data.tasks.label[task]);
    await page.click('#panel button[aria-label="Close the task"]');
    await page.click("#reset");
  });
}

async function checkFailures(page) {
  if (!failed.length) {
    await check("no failures are shown where there are none", async () => {
      assert(await page.locator("#failures").isHidden());
    });
    return;
  }
  await check("a failure shows its task, its whole error and the command that runs it again", async () => {
    const [task] = failed;
    const card = page.locator("#failures .failure").first();
    const attempts = data.attempts.filter(([of]) => of === task).sort((a, b) => a[1] - b[1]);
    assert((await card.locator("summary").textContent()).includes(data.tasks.label[task].slice(0, 300)));
    assert.equal(await card.locator("pre.error").textContent(), data.errors[attempts.at(-1)?.[6]] ?? "No error was kept.");
    assert.equal(await card.locator(".command code").textContent(), data.rerun[task]);
    const text = await card.textContent();
    for (const value of [data.tasks.key[task], `Attempts${attempts.length}`]) assert(text.includes(value), value);
    assert(await card.locator("pre.error").isVisible());
  });
  await check("the command can be copied", async () => {
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    const copy = page.locator("#failures .command button").first();
    await copy.click();
    await copy.getByText("Copied").waitFor({ timeout: 3000 });
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), data.rerun[failed[0]]);
  });
}

async function checkTimes(page) {
  if (!data.attempts.length) return;
  await check("the timeline is drawn, moves by keys and opens a task", async () => {
    const canvas = page.locator("#timeline canvas");
    await canvas.scrollIntoViewIfNeeded();
    await canvas.focus();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowRight");
    assert(await page.locator("#timeline .tip").isVisible());
    assert((await page.locator("#timeline .tip").textContent()).includes("attempt"));
    await page.keyboard.press("Enter");
    await page.waitForSelector("#panel:not([hidden])");
    assert.equal(await page.locator("#panel .panel-attempts").count(), 1);
    await page.keyboard.press("Escape");
    const colours = await canvas.evaluate((node) => {
      const { data: pixels } = node.getContext("2d").getImageData(0, 0, node.width, node.height);
      return new Set(new Uint32Array(pixels.buffer)).size;
    });
    assert(colours > 3, `${colours} colours`);
  });
  await check("the table of attempts has them all", async () => {
    await page.locator("#timeline summary").click();
    const rows = await page.locator("#timeline table").getAttribute("aria-rowcount");
    assert.equal(Number(rows) - 1, data.attempts.length);
    await page.locator("#timeline summary").click();
  });
  await check("the critical path ends with a root or with what ended last", async () => {
    assert((await page.locator("#critical li").count()) > 0);
    const slowest = await page.locator("#slowest li").count();
    assert.equal(slowest, Math.min(20, new Set(data.attempts.map(([task]) => task)).size));
  });
}

async function checkHostile(page) {
  await check("markup in values is text and runs nothing", async () => {
    assert.equal(await page.evaluate(() => window.__pwned), undefined);
    const scripts = await page.evaluate(() => document.scripts.length);
    assert.equal(scripts, 2);
    assert.equal(await page.locator("img, iframe, object, embed").count(), 0);
  });
  const dangerous = data.tasks.label.flatMap((label, task) => (/<(script|img|svg|\/script)/i.test(label) ? [task] : []));
  await check("labels with <script>, <img> and </script> are shown as they are", async () => {
    assert(dangerous.length > 0, "this report has no such labels");
    for (const task of dangerous) {
      await page.evaluate((key) => { location.hash = key; }, data.tasks.key[task]);
      await page.waitForFunction((label) => document.querySelector("#panel h2")?.textContent === label, data.tasks.label[task]);
    }
    await page.waitForTimeout(200);
    assert.equal(await page.evaluate(() => window.__pwned), undefined);
    await page.keyboard.press("Escape");
  });
}

async function checkPhone(browser) {
  const { page, troubles, close } = await openReport(browser, { viewport: PHONE });
  const overflow = () => page.evaluate(() => document.scrollingElement.scrollWidth - innerWidth);
  await check("at 390 px nothing makes the page scroll sideways", async () => {
    assert((await overflow()) <= 0, `${await overflow()} px too wide`);
    await screenshot(page, "phone", data.tasks.key.length < 1000);
    await page.locator("#tasks tr[data-task] button").first().tap();
    await page.waitForSelector("#panel:not([hidden])");
    assert((await overflow()) <= 0, `${await overflow()} px too wide with the panel`);
    await screenshot(page, "phone-panel");
    assert.deepEqual(troubles, []);
  });
  await close();
}

async function checkDark(browser) {
  const { page, troubles, close } = await openReport(browser, { scheme: "dark" });
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).slice(0, 3).map(Number));
  await check("the dark scheme is dark, and the button turns it light", async () => {
    assert(Math.max(...await ground()) < 60, `the ground is ${await ground()}`);
    await screenshot(page, "dark", data.tasks.key.length < 1000);
    await page.click("#theme");
    assert(Math.min(...await ground()) > 200, `the ground is ${await ground()}`);
    assert.deepEqual(troubles, []);
  });
  await close();
}

async function checkAccess(browser, scheme) {
  const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  const { page, close } = await openReport(browser, { scheme, bypassCSP: true });
  const violations = async () => {
    const result = await page.evaluate(() => globalThis.axe.run(document, {
      runOnly: ["wcag2a", "wcag2aa"], resultTypes: ["violations"],
    }));
    return result.violations.map(({ id, nodes }) => `${id} (${nodes.length}): ${nodes[0].html.slice(0, 160)} ${nodes[0].any[0]?.message ?? ""}`);
  };
  await check(`axe finds nothing against WCAG 2 A and AA, ${scheme}`, async () => {
    await page.evaluate(axe);
    assert.deepEqual(await violations(), []);
    await page.locator("#tasks tr[data-task] button").first().click();
    await page.waitForSelector("#panel:not([hidden])");
    assert.deepEqual(await violations(), []);
  });
  await close();
}

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: BROWSER_ARGS });
try {
  const { page, troubles, close } = await openReport(browser);
  const shown = await page.evaluate(() => Math.round(performance.getEntriesByName("report-shown")[0].startTime));
  await screenshot(page, "light", data.tasks.key.length < 1000);
  await checkHeader(page);
  await checkFailures(page);
  await checkGraph(page);
  await checkTimes(page);
  await checkTable(page);
  await checkPanel(page);
  if (options.hostile) await checkHostile(page);
  await check("no error and no request beside the file itself", async () => assert.deepEqual(troubles, []));
  await close();
  await checkDark(browser);
  await checkPhone(browser);
  await checkAccess(browser, "light");
  await checkAccess(browser, "dark");
  console.log(`        shown ${shown} ms after it was opened`);
} finally {
  await browser.close();
}
console.log(`${passed} passed, ${broken} failed`);
process.exit(broken ? 1 : 0);
