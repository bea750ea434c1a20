// A service that is started and ended, a browser that looks at it, and what both checks of the page ask of a page.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";

// Beside the check of the run report, which has the same needs.
const require = createRequire(new URL("../report/package.json", import.meta.url));
const { chromium } = require("playwright-core");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

export const DESKTOP = { width: 1280, height: 960 };
export const PHONE = { width: 390, height: 844 };

export async function start(program, cwd, args, { address = "127.0.0.1:0", env = {} } = {}) {
  const child = spawn(program, ["serve", "--listen", address, ...args], {
    cwd, stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, PORT: "", KART_TOKEN: undefined, KART_WORKSPACE: "./workspace", ...env },
  });
  const lines = createInterface(child.stderr);
  const [line] = await once(lines, "line");
  const found = /listening on http:\/\/(\S+);/.exec(line);
  assert(found, line);
  return { child, address: found[1] };
}

export async function end({ child }) {
  const gone = once(child, "exit");
  child.kill("SIGTERM");
  await gone;
}

export async function post(address, path, params = {}, headers = {}) {
  const answer = await fetch(`http://${address}${path}`, { method: "POST", headers, body: JSON.stringify(params) });
  return { status: answer.status, ...await answer.json() };
}

export const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"],
});

/** Opens the page; what goes wrong in it is put into `complaints`. */
export async function open(browser, address, { viewport = DESKTOP, scheme = "light", complaints }) {
  const context = await browser.newContext({ viewport, colorScheme: scheme, hasTouch: viewport === PHONE });
  const page = await context.newPage();
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("dialog", (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("console", (message) => {
    // A connection that is refused while the service is away, an answer that asks for the token, and a graph that is
    // not known yet are as they should be.
    const text = message.text();
    if (message.type() === "error" && !/ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY|401|503/.test(text)) complaints.push(text);
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(`http://${address}/`) && !request.url().startsWith("data:")) complaints.push(`request: ${request.url()}`);
  });
  await page.goto(`http://${address}/`);
  return page;
}

/** Waits until an element says so. */
export const shows = (page, selector, text, timeout = 15000) =>
  page.waitForFunction(([selector, text]) => document.querySelector(selector)?.textContent.includes(text), [selector, text], { timeout });

/** Axe has nothing against what the page is now. The policy of the page lets no script in but its own. */
export async function accessible(page, when) {
  const session = await page.context().newCDPSession(page);
  const { frameTree } = await session.send("Page.getFrameTree");
  const world = await session.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id });
  const evaluate = (expression) => session.send("Runtime.evaluate", {
    expression, contextId: world.executionContextId, awaitPromise: true, returnByValue: true,
  });
  await evaluate(AXE);
  const { result, exceptionDetails } = await evaluate(`axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"], resultTypes: ["violations"] })
    .then(({ violations }) => violations.map(({ id, nodes }) => id + " (" + nodes.length + "): " + nodes[0].html.slice(0, 160) + " " + (nodes[0].any[0]?.message ?? "")))`);
  assert(!exceptionDetails, JSON.stringify(exceptionDetails));
  assert.deepEqual(result.value, [], `axe, ${when}`);
  await session.detach();
}

export async function narrow(page, when) {
  const over = await page.evaluate(() => document.scrollingElement.scrollWidth - innerWidth);
  assert(over <= 0, `${over} px too wide, ${when}`);
}

export async function shoot(page, directory, name, options = {}) {
  if (!directory) return;
  mkdirSync(directory, { recursive: true });
  await page.screenshot({ path: join(directory, `${name}.png`), ...options });
}
