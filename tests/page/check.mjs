// Starts a service, opens its page in a browser, and holds what it shows against what the service does.
//
// node check.mjs PROGRAM [--screenshots DIR]      (PROGRAM: target/debug/served)

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";


// Beside the check of the run report, which has the same need.
const { chromium } = createRequire(new URL("../report/package.json", import.meta.url))("playwright-core");

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { screenshots: { type: "string" } },
});
const program = resolve(positionals[0]);
const directory = mkdtempSync(join(tmpdir(), "kart-page-"));
const TOKEN = "a token for the page";

async function start(args, address = "127.0.0.1:0", env = {}) {
  const child = spawn(program, ["serve", "--listen", address, ...args], {
    cwd: directory, stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, PORT: "", KART_TOKEN: undefined, ...env },
  });
  const lines = createInterface(child.stderr);
  const [line] = await once(lines, "line");
  const found = /listening on http:\/\/(\S+);/.exec(line);
  assert(found, line);
  return { child, address: found[1] };
}

async function end(service) {
  const gone = once(service.child, "exit");
  service.child.kill("SIGTERM");
  await gone;
}

const post = (address, path, body = "", headers = {}) => fetch(`http://${address}${path}`, { method: "POST", body, headers });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
});
const complaints = [];
async function open(address, viewport, colorScheme = "light") {
  const context = await browser.newContext({ viewport, colorScheme });
  const page = await context.newPage();
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    // A connection that is refused while the service is away, and an answer that asks for the token, are as they should be.
    const text = message.text();
    if (message.type() === "error" && !/ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY|401/.test(text)) complaints.push(text);
  });
  await page.goto(`http://${address}/`);
  return page;
}
let shots = 0;
async function shoot(page, name) {
  if (!options.screenshots) return;
  mkdirSync(options.screenshots, { recursive: true });
  await page.screenshot({ path: join(options.screenshots, `${++shots}-${name}.png`), fullPage: true });
}
const shows = (page, selector, text, timeout = 15000) =>
  page.waitForFunction(([selector, text]) => document.querySelector(selector)?.textContent.includes(text), [selector, text], { timeout });

let service;
try {
  service = await start(["--workers", "4", "--allow", "Spoilt"]);
  const page = await open(service.address, { width: 1280, height: 900 });
  await shows(page, "#link", "live");
  await shows(page, "#none", "No run yet");
  await shoot(page, "empty");
  await post(service.address, "/?wait=false", JSON.stringify({ count: 40, ms: 700 }));
  await shows(page, "#state", "running", 1500);
  await shows(page, "#running", "Doze", 1500);
  await shoot(page, "running");
  await shows(page, "#counts", "ran", 3000);
  await page.locator("#filter").focus();
  await page.keyboard.type("dozes");
  assert.equal(await page.locator("#families tr").count(), 1);
  await page.locator("#filter").fill("");
  assert.equal(await page.locator("#families tr").count(), 2);
  await shows(page, "#state", "complete");
  await shows(page, "#counts", "41 ran");
  await shoot(page, "complete");
  // What a parameter holds is text, whatever it looks like.
  await post(service.address, "/", JSON.stringify({ count: 1, ms: 3 }));
  await shows(page, "#root", "count: 1");
  // By keyboard: the older run is chosen.
  await page.locator("#runs button").nth(1).focus();
  await page.keyboard.press("Enter");
  await shows(page, "#root", "count: 40");
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-current")), "true");

  // A failure, and all about the task that failed, what it says being text whatever it looks like.
  const failed = await post(service.address, "/run/Spoilt", JSON.stringify({ text: "<img src=x onerror=alert(1)>" }));
  assert.equal(failed.status, 500);
  await page.locator("#runs button").first().click();
  await shows(page, "#failures", "<img src=x onerror=alert(1)>");
  await shoot(page, "failed");
  await page.locator("#failures button").first().focus();
  await page.keyboard.press("Enter");
  await shows(page, "#task-body", "Parameters");
  await shows(page, "#task-body", "<img src=x");
  await shoot(page, "task");
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("#task[open]").count(), 0);
  assert.equal(await page.locator("img").count(), 0);

  // A restart at the same address: the page comes back by itself.
  const { address } = service;
  await end(service);
  await shows(page, "#link", "trying again");
  service = await start(["--workers", "4"], address);
  await shows(page, "#link", "live");
  // The runs of the process before, by the log.
  await page.waitForFunction(() => document.querySelectorAll("#runs button").length >= 2, null, { timeout: 10000 });
  await post(address, "/?wait=false", JSON.stringify({ count: 20, ms: 400 }));
  await page.locator("#runs button").first().click();
  await shows(page, "#root", "count: 20", 3000);

  const phone = await open(address, { width: 390, height: 844 }, "dark");
  await shows(phone, "#state", "complete");
  const overflow = await phone.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(overflow, 0, "nothing is wider than a phone");
  await shoot(phone, "phone-dark");
  await end(service);

  service = await start([], "127.0.0.1:0", { KART_TOKEN: TOKEN });
  const signed = await open(service.address, { width: 1280, height: 900 });
  await signed.waitForSelector("#session:not([hidden])");
  await shoot(signed, "sign-in");
  await signed.keyboard.type("wrong");
  await signed.keyboard.press("Enter");
  await shows(signed, "#refused", "not the token");
  await signed.locator("#token").fill(TOKEN);
  await signed.keyboard.press("Enter");
  await shows(signed, "#link", "live");
  await signed.waitForSelector("#session", { state: "hidden" });
  await end(service);
  assert.deepEqual(complaints, []);
  console.log("the page is as it should be");
} finally {
  service?.child.kill("SIGKILL");
  await browser.close();
  rmSync(directory, { recursive: true, force: true });
}
