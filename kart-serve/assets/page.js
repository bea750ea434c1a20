// Shows what runs. Everything that comes from the service is put in as text, never as markup.
"use strict";

const at = (id) => document.getElementById(id);
const runs = new Map(); // by id, the newest state of each
let shown = null; // the id of the run that somebody chose; the newest otherwise
let past = []; // of the log
let source = null;

function el(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = text;
  if (className) made.className = className;
  return made;
}

const count = (number) => Number(number ?? 0).toLocaleString("en");

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.floor(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} m ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} m`;
}

function local(time) {
  return time ? new Date(time).toLocaleString() : "";
}

// Puts children in the place of those that were there, unless they are the same: so that nothing flickers, and
// what has the focus keeps it.
function fill(parent, children) {
  const same = parent.childNodes.length === children.length
    && children.every((child, n) => child.isEqualNode(parent.childNodes[n]));
  if (same) return;
  const { run, key } = document.activeElement?.dataset ?? {};
  const had = (run || key) && parent.contains(document.activeElement);
  parent.replaceChildren(...children);
  const again = run ? `[data-run="${CSS.escape(run)}"]` : `[data-key="${CSS.escape(key ?? "")}"]`;
  if (had) parent.querySelector(again)?.focus();
}

function bar(value, max, label) {
  const made = el("progress");
  made.max = Math.max(max, 1);
  made.value = value;
  made.setAttribute("aria-label", label);
  return made;
}

function known() {
  const all = new Map(past.map((run) => [run.run, run]));
  for (const [id, run] of runs) all.set(id, run);
  return [...all.values()].sort((a, b) => (a.run < b.run ? 1 : -1)).slice(0, 50);
}

function show() {
  const all = known();
  const run = all.find((one) => one.run === shown) ?? all[0];
  at("none").hidden = all.length > 0;
  fill(at("runs"), all.map((one) => row(one, one === run)));
  at("run").hidden = !run;
  if (run) showRun(run);
}

function row(run, isShown) {
  const item = el("li");
  const button = el("button");
  button.type = "button";
  button.dataset.run = run.run;
  button.setAttribute("aria-current", String(isShown));
  button.append(el("span", run.state, run.state), " ", el("span", run.root), el("br"));
  const counts = run.counts ? ` · ${counted(run.counts)}` : "";
  button.append(el("span", `${local(run.start)}${counts}`, "quiet"));
  item.append(button);
  return item;
}

function counted(counts) {
  const words = [[counts.complete, "complete before"], [counts.ran, "ran"], [counts.elsewhere, "made by others"],
    [counts.failed, "failed"], [counts.blocked, "blocked"], [counts.interrupted, "interrupted"], [counts.left, "left"]];
  return words.filter(([number]) => number).map(([number, word]) => `${count(number)} ${word}`).join(", ") || "nothing yet";
}

function showRun(run) {
  at("root").textContent = run.root;
  at("state").textContent = run.state;
  at("state").className = run.state;
  const rate = run.end === null && run.counts?.ran ? ` · ${(run.counts.ran / Math.max(run.elapsed_seconds, 0.1)).toFixed(1)} tasks a second` : "";
  const elapsed = run.elapsed_seconds ?? (run.end ? (Date.parse(run.end) - Date.parse(run.start)) / 1000 : null);
  at("about").textContent = `${duration(elapsed)}${rate} · since ${local(run.start)}`;
  const counts = run.counts ?? {};
  const done = (counts.complete ?? 0) + (counts.ran ?? 0) + (counts.elsewhere ?? 0);
  const all = done + (counts.failed ?? 0) + (counts.blocked ?? 0) + (counts.interrupted ?? 0) + (counts.left ?? 0);
  at("bar").max = Math.max(all, 1);
  at("bar").value = all === 0 ? 0 : done;
  at("counts").textContent = counted(counts);
  at("error").hidden = !run.error;
  at("error").textContent = run.error ?? "";
  fill(at("warnings"), (run.warnings ?? []).map((text) => el("li", text)));
  const wanted = at("filter").value.toLowerCase();
  const families = (run.families ?? []).filter((family) => family.name.toLowerCase().includes(wanted));
  fill(at("families"), families.map(familyRow));
  const running = (run.running ?? []).map(runningItem);
  if (run.under_way > running.length) running.push(el("li", `… and ${count(run.under_way - running.length)} more`, "quiet"));
  fill(at("running"), running.length ? running : [el("li", "nothing", "quiet")]);
  const failures = run.failures ?? [];
  at("failed").hidden = failures.length === 0;
  fill(at("failures"), failures.map(failureItem));
}

function familyRow(family) {
  const made = family.complete + family.ran + family.elsewhere;
  const row = el("tr");
  const progress = el("td");
  progress.append(bar(made, family.tasks, `${family.name}: ${made} of ${family.tasks}`));
  row.append(el("td", family.name), progress, el("td", count(made)), el("td", count(family.running)),
    el("td", count(family.failed + family.blocked), family.failed ? "failed" : ""), el("td", count(family.tasks)));
  return row;
}

function runningItem(task) {
  const item = el("li");
  const attempt = task.attempt > 1 ? `, attempt ${task.attempt}` : "";
  const expected = task.expected_seconds ? ` of about ${duration(task.expected_seconds)}` : "";
  item.append(taskButton(task), " ", el("span", `${duration(Math.floor(task.seconds))}${expected}${attempt}`, "quiet"));
  if (task.total) item.append(bar(task.done, task.total, "How far it is"));
  if (task.message) item.append(el("div", task.message, "quiet"));
  return item;
}

function failureItem(task) {
  const item = el("li");
  const attempts = task.attempts === 1 ? "1 attempt" : `${task.attempts} attempts`;
  item.append(taskButton(task, "failed"), " ", el("span", `after ${attempts}`, "quiet"), el("pre", task.error));
  return item;
}

function taskButton(task, className = "") {
  const button = el("button", task.description ?? task.name, `plain ${className}`);
  button.type = "button";
  button.dataset.key = task.key;
  return button;
}

// All about one task, in a panel that Escape closes.
async function showTask(key, title) {
  at("task-title").textContent = title;
  const list = el("dl");
  const add = (name, value) => {
    if (value === undefined || value === null || value === "") return;
    const isText = typeof value === "object" || String(value).includes("\n");
    const entry = el("dd");
    entry.append(isText ? el("pre", typeof value === "object" ? JSON.stringify(value, null, 2) : value) : el("span", value));
    list.append(el("dt", name), entry);
  };
  fill(at("task-body"), [el("p", "looking …", "quiet")]);
  if (!at("task").open) at("task").showModal();
  const answer = await fetch(`tasks/${encodeURIComponent(key)}`).catch(() => null);
  const task = await answer?.json().catch(() => null);
  if (!answer?.ok) {
    add("Not known", task?.error ?? "the service did not answer");
  } else {
    add("Key", task.key);
    add("Parameters", task.params);
    add("Output", task.location && `${task.location} (${task.bytes === null ? "not there" : `${count(task.bytes)} bytes`})`);
    add("Running", task.running && `attempt ${task.running.attempt}, for ${duration(task.running.seconds)}`);
    add("Requires", task.required ? `${count(task.required)} tasks` : "nothing");
    for (const one of task.attempts) {
      add(`${one.outcome} at ${local(one.start)}`, `attempt ${one.attempt}, ${duration(one.duration)}, on ${one.worker}`);
      add("Error", one.error);
    }
    add("Begin of the output", task.preview);
  }
  fill(at("task-body"), [list]);
}

async function lookBack() {
  const answer = await fetch("runs?last=50").catch(() => null);
  if (answer?.ok) past = (await answer.json()).runs;
  show();
}

// The details of a run that this process does not know any more.
async function details(id) {
  if (runs.has(id)) return;
  const answer = await fetch(`runs/${encodeURIComponent(id)}`).catch(() => null);
  if (!answer?.ok) return;
  const run = await answer.json();
  past = past.map((one) => (one.run === id ? run : one));
  show();
}

function linked(text, isLost) {
  at("link").textContent = text;
  at("link").className = isLost ? "lost" : "";
}

// The browser comes back by itself after a lost connection, but gives up after an answer that is no stream.
function listen() {
  source?.close();
  source = new EventSource("events");
  source.onopen = () => { linked("live"); at("session").hidden = true; at("past").hidden = false; lookBack(); };
  source.onerror = async () => {
    linked("not connected: trying again", true);
    if (source.readyState !== EventSource.CLOSED) return;
    const answer = await fetch("runs?last=1").catch(() => null);
    if (answer?.status === 401) {
      linked("signed out");
      at("past").hidden = true;
      at("session").hidden = false;
      at("token").focus();
    } else {
      setTimeout(listen, 1000);
    }
  };
  source.addEventListener("snapshot", (event) => {
    const data = JSON.parse(event.data);
    at("workspace").textContent = data.workspace;
    runs.clear();
    for (const run of data.runs) runs.set(run.run, run);
    show();
  });
  source.addEventListener("run", (event) => {
    const run = JSON.parse(event.data);
    runs.set(run.run, run);
    show();
  });
}

at("runs").addEventListener("click", (event) => {
  const id = event.target.closest("[data-run]")?.dataset.run;
  if (!id) return;
  shown = id;
  show();
  details(id);
});
for (const id of ["running", "failures"]) {
  at(id).addEventListener("click", (event) => {
    const button = event.target.closest("[data-key]");
    if (button) showTask(button.dataset.key, button.textContent);
  });
}
at("filter").addEventListener("input", show);
at("session").addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = JSON.stringify({ token: at("token").value });
  const answer = await fetch("session", { method: "POST", body }).catch(() => null);
  at("refused").textContent = answer?.ok ? "" : "That is not the token of this service.";
  at("token").value = "";
  if (answer?.ok) listen();
});
listen();
