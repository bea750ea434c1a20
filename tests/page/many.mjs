// Looks at a run of a great many tasks, while it goes on and when it is over, and prints how long it takes to be of use.
//
// node many.mjs PROGRAM [--leaves 50000] [--screenshots DIR]      (PROGRAM: target/debug/shop)

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { accessible, end, launch, open, post, shoot, shows, start } from "./service.mjs";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { leaves: { type: "string", default: "50000" }, screenshots: { type: "string" } },
});
const leaves = Number(options.leaves);
const directory = mkdtempSync(join(tmpdir(), "kart-page-"));
const grouped = (count) => new Intl.NumberFormat("en-US").format(count);
const complaints = [];

/** How long that takes, which may be so long at most. */
async function measure(what, most, action) {
  const begin = performance.now();
  await action();
  const took = (performance.now() - begin) / 1000;
  console.log(`${took.toFixed(2).padStart(7)} s  ${what}`);
  assert(took < most, `${what}: more than ${most} s`);
}

const shown = (page) => page.waitForFunction(() => performance.getEntriesByName("run-shown").length > 0, null, { timeout: 30000 });
const rows = (page) => page.locator(".task-row").count();

async function use(page, when) {
  await measure(`${when}: a family opens`, 5, async () => {
    await page.locator('.family-head[title="Leaf"]').click();
    await page.waitForSelector(".task-row");
  });
  assert.equal(await rows(page), 60);
  await measure(`${when}: a text leaves one task`, 5, async () => {
    await page.fill("#query", `n: ${leaves - 1},`);
    await shows(page, "#matches", `1 of ${grouped(leaves + 1)}`);
    await page.waitForFunction((text) => document.querySelector(".task-row:not(.dim)")?.textContent.includes(text), `n: ${leaves - 1}`);
  });
  await measure(`${when}: its panel opens`, 5, async () => {
    await page.locator("#tasks tr[data-task] button").click();
    await page.waitForSelector("#panel .panel-links");
  });
  await page.keyboard.press("Escape");
  await measure(`${when}: an outcome leaves its tasks`, 5, async () => {
    await page.click("#reset");
    await page.click('.chip[data-outcome="r"]');
    await shows(page, "#matches", ` of ${grouped(leaves + 1)}`);
  });
  await page.click("#reset");
  await page.locator('.family-head[title="Leaf"]').click();
}

const browser = await launch();
let service;
try {
  service = await start(resolve(positionals[0]), directory, ["--workers", "16", "--allow-all", "--quiet"], { env: { KART_WORKSPACE: "memory://" } });
  const { run } = await post(service.address, "/run/Many?wait=false", { leaves, ms: 1 });
  const page = await open(browser, service.address, { complaints });
  await measure(`${grouped(leaves)} tasks that run are shown`, 20, () => shown(page));
  await page.evaluate(() => {
    globalThis.longest = 0;
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) globalThis.longest = Math.max(globalThis.longest, duration);
    }).observe({ type: "longtask" });
  });
  await use(page, "running");
  await shoot(page, options.screenshots, "many-running");
  const ran = () => page.evaluate(() => Number(document.querySelector('.chip[data-outcome="r"] b').textContent.replace(/\D/g, "")));
  console.log(`           ${grouped(await ran())} had run by then`);
  await shows(page, "#state", "Complete", 120000);
  await page.waitForSelector("#critical li");
  assert.equal(await ran(), leaves + 1);
  console.log(`           the page was busy for ${Math.round(await page.evaluate(() => globalThis.longest))} ms at most`);
  await accessible(page, "many");
  await measure("all over: a reload shows it", 20, async () => {
    await page.reload();
    await shown(page);
  });
  await use(page, "all over");
  const told = await (await fetch(`http://${service.address}/runs/${run}`)).json();
  console.log(`           the run itself took ${told.elapsed_seconds.toFixed(1)} s`);
  await end(service);
  assert.deepEqual(complaints, []);
} finally {
  service?.child.kill("SIGKILL");
  await browser.close();
  rmSync(directory, { recursive: true, force: true });
}
