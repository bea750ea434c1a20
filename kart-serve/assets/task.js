const PREVIEW = 16384;
const CELL_ROWS = 40;
const MADE = new Set(["c", "r", "e"]);

/** What only the service knows of a task: its parameters, the begin of its output, its log, and other runs. */
function aboutTask(model, task, run) {
  const key = model.key(task);
  const box = el("div", { class: "about", "aria-live": "off" });
  const slots = ["params", "output", "log", "others"].map(() => el("div"));
  box.append(...slots);
  const [params, output, log, others] = slots;
  askJson(`tasks/${key}`).then((told) => {
    params.append(...paramParts(told.params));
    others.append(...otherParts(told.attempts.filter((attempt) => attempt.run !== run)));
  }).catch(() => {});
  if (MADE.has(model.outcome(task))) {
    showOutput(output, model.path(task), key).catch((error) => {
      output.append(el("h3", { text: "Output" }), el("p", { class: "hint", text: `It can’t be shown: ${error.message}.` }));
    });
  }
  followLog(log, key, () => box.isConnected && model.outcome(task) === "p");
  return box;
}

function paramParts(params) {
  const entries = Object.entries(params ?? {});
  if (!entries.length) return [];
  const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));
  return [el("h3", { text: "Parameters" }), el("dl", { class: "params" }, ...entries.flatMap(([name, value]) =>
    [el("dt", { text: name }), el("dd", { class: "mono" }, el("bdi", { text: clip(text(value), 4000) }))]))];
}

function otherParts(attempts) {
  if (!attempts.length) return [];
  const item = (i) => {
    const { outcome, start, duration: seconds, worker } = attempts[i];
    return el("li", {}, el("span", { text: `${outcome} ${moment(start)}, in ${duration(seconds)}, on ${worker}` }));
  };
  return [el("h3", { text: "In other runs" }), ...growingList(el("ul", { class: "panel-links" }), attempts.length, item, 5, 20)];
}

async function showOutput(host, path, key) {
  const place = `artifacts/${path.split("/").map(encodeURIComponent).join("/")}?key=${key}`;
  const head = await ask(place, { method: "HEAD" });
  const size = Number(head.headers.get("content-length"));
  const kind = (head.headers.get("content-type") ?? "").split(";")[0];
  const link = el("a", { href: place, target: "_blank", rel: "noopener", text: "Open the output" });
  host.append(el("h3", { text: `Output, ${bytes(size)}` }));
  if (size > 0 && /^text\/|json/.test(kind)) {
    const answer = await ask(place, { headers: { range: `bytes=0-${PREVIEW - 1}` } });
    host.append(preview(await answer.text(), kind, size > PREVIEW));
  }
  host.append(el("p", { class: "hint" }, link, size > PREVIEW ? `; this is its begin` : ""));
}

/** Text as it is, JSON on several lines where it is on one, and rows of cells as a table. */
function preview(text, kind, isCut) {
  if (kind === "text/csv" || kind === "text/tab-separated-values") return cellTable(text, kind === "text/csv" ? "," : "\t", isCut);
  let shown = text;
  if (kind === "application/json" && !isCut) {
    try {
      const value = JSON.parse(text);
      // Numbers that JavaScript can't hold are shown as they are.
      if (JSON.stringify(value) === text.trim()) shown = JSON.stringify(value, null, 2);
    } catch { /* It is shown as it is. */ }
  }
  return el("pre", { class: "text", text: shown, tabindex: "0", role: "group", "aria-label": "Begin of the output" });
}

function cellTable(text, separator, isCut) {
  const rows = cellRows(text, separator, CELL_ROWS + 2);
  if (isCut && rows.length < CELL_ROWS + 2) rows.pop();
  const [head = [], ...body] = rows.slice(0, CELL_ROWS + 1);
  const cells = (tag, row) => row.slice(0, 50).map((cell) => el(tag, { text: clip(cell, 200), scope: tag === "th" ? "col" : undefined }));
  return el("div", { class: "cells", tabindex: "0", role: "region", "aria-label": "Begin of the output" },
    el("table", {}, el("thead", {}, el("tr", {}, ...cells("th", head))),
      el("tbody", {}, ...body.map((row) => el("tr", {}, ...cells("td", row))))));
}

/** The first rows of a text of cells; a quoted cell may hold separators, line ends, and quotes that are doubled. */
function cellRows(text, separator, most) {
  const rows = [[""]];
  let quoted = false;
  for (let i = 0; i < text.length && rows.length <= most; i += 1) {
    const row = rows[rows.length - 1];
    const sign = text[i];
    if (quoted && sign === '"' && text[i + 1] === '"') row[row.length - 1] += text[i += 1];
    else if (sign === '"') quoted = !quoted;
    else if (quoted || (sign !== separator && sign !== "\n" && sign !== "\r")) row[row.length - 1] += sign;
    else if (sign === separator) row.push("");
    else if (sign === "\n") rows.push([""]);
  }
  const isEmpty = (row) => row.length === 1 && row[0] === "";
  return rows.filter((row) => !isEmpty(row)).slice(0, most);
}

/** Shows what the attempts have logged, and goes on while one is under way. */
async function followLog(host, key, goesOn) {
  let shown = 0;
  do {
    const { lines } = await askJson(`tasks/${key}/log`).catch(() => ({ lines: [] }));
    const last = lines.length ? `${lines.length} ${lines[lines.length - 1].at}` : 0;
    if (lines.length && last !== shown) {
      shown = last;
      const before = host.querySelector("pre");
      const isAtEnd = !before || before.scrollTop + before.clientHeight >= before.scrollHeight - 4;
      keepFocus(host, () => host.replaceChildren(el("h3", { text: "Log" }), logLines(lines)));
      const text = host.querySelector("pre");
      text.scrollTop = isAtEnd ? text.scrollHeight : before.scrollTop;
    }
    await new Promise((resolve) => { setTimeout(resolve, 1000); });
  } while (goesOn());
}

function logLines(lines) {
  const several = lines.some(({ attempt }) => attempt !== lines[0].attempt);
  return el("pre", { class: "text log", tabindex: "0", role: "group", "aria-label": "Log", "data-focus": "log" },
    ...lines.flatMap(({ at, attempt, level, text }) => [
      el("span", { class: "at", text: `${new Date(at).toLocaleTimeString()} ` }),
      several ? el("span", { class: "at", text: `${attempt}: ` }) : null,
      el("b", { class: level, text: level }), ` ${text}\n`]).filter(Boolean));
}
