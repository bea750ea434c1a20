// Starts a service, opens its page in a browser, and holds what it shows against what the service does.
//
// node check.mjs PROGRAM [--screenshots DIR]      (PROGRAM: target/debug/shop)

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { accessible, DESKTOP, end, launch, narrow, open, PHONE, post, shoot, shows, start } from "./service.mjs";

const { values: options, positionals } = parseArgs({ allowPositionals: true, options: { screenshots: { type: "string" } } });
const program = resolve(positionals[0]);
const directory = mkdtempSync(join(tmpdir(), "kart-page-"));
const TOKEN = "a token for the page";
const SECRET = "hunter2";
const HOSTILE = "</pre><img src=x onerror=alert(1)><script>alert(2)</script>";
const complaints = [];

async function check(what, action) {
  const begin = performance.now();
  await action();
  console.log(`ok  ${what} (${((performance.now() - begin) / 1000).toFixed(1)} s)`);
}

const look = (page, name, view) => shoot(page, options.screenshots, name, view);
const attemptCount = async (page) => Number((await page.textContent("#timeline .attempts summary")).replace(/\D/g, ""));
const chip = (letter) => `.chip[data-outcome="${letter}"]`;
const head = (page, name) => page.locator(".family-head", { has: page.locator(".family-name", { hasText: new RegExp(`^${name}$`) }) });
const title = (page, text) => page.waitForFunction((text) => document.querySelector("#panel h2")?.textContent.startsWith(text), text, { timeout: 5000 });

/** Leaves one task in the table, and opens it. */
async function openTask(page, text) {
  await page.fill("#query", text);
  await page.waitForFunction(() => document.querySelector("#tasks table").getAttribute("aria-rowcount") === "2");
  await page.locator("#tasks tr[data-task] button").click();
  await page.waitForSelector("#panel:not([hidden])");
}

async function whileRunning(page, address) {
  let run;
  await check("nothing has run", async () => {
    await shows(page, "#link", "live");
    await shows(page, "#notice", "No run yet");
    await accessible(page, "empty");
  });
  await check("a run is shown within a second of its begin", async () => {
    ({ run } = await post(address, "/?wait=false", { ms: 900 }));
    await shows(page, "#state", "Running", 1000);
    await shows(page, "#attempts", "Orders", 1500);
    await page.waitForSelector("#graph .family-head");
    assert.equal(await page.locator("#graph .family-head").count(), 5);
  });
  await check("the timeline fills, and the counts go up", async () => {
    const before = await attemptCount(page);
    await page.waitForFunction((before) => Number(document.querySelector("#timeline .attempts summary").textContent.replace(/\D/g, "")) > before, before, { timeout: 5000 });
    await page.waitForFunction(() => Number(document.querySelector('.chip[data-outcome="r"] b')?.textContent) > 4, null, { timeout: 10000 });
    await shows(page, "#facts", "tasks a second");
    const { counts } = await (await fetch(`http://${address}/runs/${run}`)).json();
    await page.waitForFunction((ran) => Number(document.querySelector('.chip[data-outcome="r"] b').textContent) >= ran, counts.ran, { timeout: 1000 });
    assert(await head(page, "Orders").getByRole("img", { name: "running" }).isVisible());
    await accessible(page, "running");
  });
  await check("a family opens by a click and by the keyboard, and its tasks change as they run", async () => {
    await head(page, "Orders").click();
    assert.equal(await page.locator(".task-row").count(), 28);
    await page.waitForSelector('.task-row[data-outcome="p"]');
    const row = page.locator('.task-row[data-outcome="p"]').first();
    const task = await row.getAttribute("data-task");
    await page.waitForSelector(`.task-row[data-task="${task}"][data-outcome="r"]`, { timeout: 5000 });
    await head(page, "Orders").focus();
    await page.keyboard.press("Enter");
    assert.equal(await page.locator(".task-row").count(), 0);
    await page.keyboard.press("ArrowRight");
    assert.match(await page.evaluate(() => document.activeElement.title), /^Clean/);
  });
  await check("text and outcome filter the graph, the table and the timeline", async () => {
    await page.keyboard.press("/");
    await page.keyboard.type("day: 11");
    await shows(page, "#matches", "2 of 62");
    await shows(page, '.family-head[title="Orders"] .family-count', "1 of 28");
    await page.fill("#query", "");
    await page.locator(chip("r")).click();
    await page.waitForFunction(() => [...document.querySelectorAll("#tasks tbody td.outcome")].every((cell) => cell.textContent === "ran"));
    await page.click("#reset");
    await shows(page, "#matches", "62 tasks");
  });
  await check("a running task tells what it logs, and turns to complete in the open panel", async () => {
    await page.locator("#attempts button").last().click();
    await page.waitForSelector("#panel:not([hidden])");
    await shows(page, "#panel .outcome-word", "running");
    await shows(page, "#panel .outcome-word", "ran", 10000);
    if (!(await page.textContent("#panel h2")).startsWith("Orders")) return;
    await shows(page, "#panel .log", "read the orders of day", 5000);
    await page.waitForSelector("#panel .cells");
  });
  await check("the end is told, with the critical path", async () => {
    await page.keyboard.press("Escape");
    await page.waitForFunction(() => Number(document.querySelector('.chip[data-outcome="r"] b').textContent) > 36, null, { timeout: 60000 });
    await page.evaluate(() => scrollTo(0, 0));
    await look(page, "running");
    await shows(page, "#state", "Complete", 60000);
    await page.waitForSelector("#critical li");
    assert.equal(await page.locator(chip("r")).locator("b").textContent(), "62");
    assert.equal(await page.locator("#running").isHidden(), true);
  });
}

async function whenDone(page) {
  await check("the panel shows parameters, neighbours, and rows as a table", async () => {
    await openTask(page, "orders/5.csv");
    await shows(page, "#panel .params", "900");
    await page.waitForSelector("#panel .cells td");
    assert.equal(await page.locator("#panel .cells th").allTextContents().then((cells) => cells.join()), "id,item,pieces");
    assert.deepEqual(await page.locator("#panel .cells tbody tr").nth(1).locator("td").allTextContents(), ["1", '"good" cups', "2"]);
    await shows(page, "#panel .log", "INFO read the orders of day 5");
    await accessible(page, "done, with a task");
    await page.fill("#query", "");
    await page.locator("#query").blur();
    await page.evaluate(() => scrollTo(0, 0));
    await look(page, "done");
    await page.locator("#panel").getByRole("button", { name: "Clean { day: 5," }).click();
    await title(page, "Clean { day: 5");
    await page.locator("#panel").getByRole("button", { name: "Prices" }).click();
    await title(page, "Prices");
    await shows(page, "#panel .text", "4.5");
    await page.goBack();
    await title(page, "Clean { day: 5");
    await page.keyboard.press("Escape");
    assert(await page.locator("#panel").isHidden());
  });
  await check("the timeline opens a task by the keyboard", async () => {
    await page.locator("#timeline canvas").focus();
    for (const key of ["ArrowRight", "ArrowRight", "Enter"]) await page.keyboard.press(key);
    await page.waitForSelector("#panel:not([hidden])");
    await page.keyboard.press("Escape");
    assert.equal(await page.evaluate(() => document.activeElement.tagName), "CANVAS");
  });
  await check("what is secret is nowhere, also where a body logs it", async () => {
    await openTask(page, "Summary");
    await shows(page, "#panel .log", "sent with the password ***");
    await shows(page, "#panel .params", "***");
    assert(!(await page.content()).includes(SECRET));
    await page.keyboard.press("Escape");
    await page.click("#reset");
  });
}

async function whenFailed(page, address) {
  await check("a failure shows its whole error, its attempts, and what it blocks", async () => {
    const run = await post(address, "/", { ms: 60, weeks: 2, broken: 3 });
    assert.equal(run.status, 500);
    await shows(page, "#state", "Failed");
    await shows(page, "#failures .error", "line 7 is no number: invalid digit");
    await shows(page, "#failures .facts", "2 tasks");
    await shows(page, "#error", "1 task failed");
    await accessible(page, "failed");
    await page.emulateMedia({ colorScheme: "dark" });
    await page.locator("#query").blur();
    await page.evaluate(() => scrollTo(0, 0));
    await accessible(page, "failed, in the dark");
    await look(page, "failed");
    await page.emulateMedia({ colorScheme: "light" });
    await page.getByRole("button", { name: "Show the task", exact: true }).click();
    await page.waitForSelector("#panel .panel-attempts");
    assert.equal(await page.locator("#panel .panel-attempts li").count(), 2);
    await shows(page, "#panel .log", "WARN the orders of day 3 look odd");
    await page.keyboard.press("Escape");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Show the task");
  });
  await check("what a parameter holds is text, whatever it looks like", async () => {
    await post(address, "/run/Spoilt", { text: HOSTILE });
    await shows(page, "#title", HOSTILE);
    await shows(page, "#failures .error", HOSTILE);
    await openTask(page, "spoilt");
    await shows(page, "#panel .log", HOSTILE);
    assert.equal(await page.locator("img, iframe, object, body script").count(), 0);
    await page.keyboard.press("Escape");
    await page.click("#reset");
  });
  await check("an older run is chosen by the keyboard, stays in the address, and is shown after a reload", async () => {
    await page.locator("#runs button").nth(1).focus();
    await page.keyboard.press("Enter");
    await shows(page, "#title", "broken: Some(3)");
    assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-current")), "true");
    await page.reload();
    await shows(page, "#title", "broken: Some(3)");
    await page.waitForSelector("#graph .family-head");
    // Asked for again, and not sent again.
    const graph = await page.evaluate(() => performance.getEntriesByType("resource").find(({ name }) => name.endsWith("/graph")).toJSON());
    assert(graph.transferSize < graph.encodedBodySize, `${graph.transferSize} of ${graph.encodedBodySize} bytes`);
  });
}

async function afterRestart(page, service) {
  const { address } = service;
  await check("the page comes back by itself after a restart, with the run from the log", async () => {
    await end(service);
    await shows(page, "#link", "trying again");
    Object.assign(service, await start(program, directory, ["--workers", "4", "--allow-all"], { address }));
    await shows(page, "#link", "live");
    await shows(page, "#state", "Failed");
    await page.waitForSelector("#graph .family-head");
    await shows(page, "#failures .error", "line 7 is no number");
    assert((await attemptCount(page)) > 20);
    await accessible(page, "of the log");
  });
  await check("a new run is followed where none is chosen", async () => {
    await page.goto(`http://${address}/`);
    await post(address, "/?wait=false", { ms: 61, weeks: 1 });
    await shows(page, "#title", "ms: 61", 3000);
    await shows(page, "#state", "Complete");
  });
  await check("a run that was cut off is not shown as done by the next process", async () => {
    const run = await post(address, "/", { ms: 400, weeks: 4 }, { "X-Kart-Deadline": "2s" });
    assert.equal(run.status, 503);
    await end(service);
    Object.assign(service, await start(program, directory, ["--workers", "4", "--allow-all"], { address }));
    await page.reload();
    await shows(page, "#title", "ms: 400");
    await shows(page, "#state", "Interrupted");
    await shows(page, "#notice", "The run log tells of");
    assert.match(await page.getAttribute("#progress", "aria-label"), /\d+ left/);
  });
}

async function onPhone(browser, address) {
  await check("on a phone nothing is too wide, in the dark, while it runs and when it is over", async () => {
    const page = await open(browser, address, { viewport: PHONE, scheme: "dark", complaints });
    await post(address, "/?wait=false", { ms: 500, weeks: 2 });
    await shows(page, "#title", "ms: 500");
    await page.waitForFunction(() => Number(document.querySelector('.chip[data-outcome="r"] b')?.textContent) > 6);
    await narrow(page, "running");
    await look(page, "phone-running");
    await accessible(page, "running on a phone");
    await shows(page, "#state", "Complete", 30000);
    await page.waitForSelector("#critical li");
    await narrow(page, "done");
    await page.locator("#tasks tr[data-task] button").first().tap();
    await page.waitForSelector("#panel:not([hidden])");
    await page.waitForSelector("#panel .params");
    await narrow(page, "with a task");
    await accessible(page, "done on a phone");
    await look(page, "phone-task");
    const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number));
    assert(Math.max(...ground) < 60, `the ground is ${ground}`);
    await page.context().close();
  });
}

async function signedOut(browser) {
  await check("without the token nothing is shown but the question for it", async () => {
    const service = await start(program, directory, [], { env: { KART_TOKEN: TOKEN } });
    const page = await open(browser, service.address, { complaints });
    await page.waitForSelector("#session:not([hidden])");
    await accessible(page, "signed out");
    assert.equal(await page.evaluate(() => document.activeElement.id), "token");
    await page.keyboard.type("wrong");
    await page.keyboard.press("Enter");
    await shows(page, "#refused", "not that of this service");
    await page.locator("#token").fill(TOKEN);
    await page.keyboard.press("Enter");
    await shows(page, "#link", "live");
    await page.waitForSelector("#session", { state: "hidden" });
    await page.waitForSelector("#runs button");
    await page.context().close();
    await end(service);
  });
}

const browser = await launch();
const service = {};
try {
  Object.assign(service, await start(program, directory, ["--workers", "4", "--allow-all"]));
  const page = await open(browser, service.address, { complaints });
  await whileRunning(page, service.address);
  await whenDone(page);
  await whenFailed(page, service.address);
  await afterRestart(page, service);
  await onPhone(browser, service.address);
  await end(service);
  await signedOut(browser);
  assert.deepEqual(complaints, []);
  console.log("the page is as it should be");
} finally {
  service.child?.kill("SIGKILL");
  await browser.close();
  rmSync(directory, { recursive: true, force: true });
}
