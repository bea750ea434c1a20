const RUNS_SHOWN = 50;
/** How long back the rate is counted. */
const RATE_WINDOW = 15000;
/** The families of a graph of no more tasks are open from the begin. */
const FEW_TASKS = 12;
const SECTIONS = ["failures", "graph", "timeline", "critical", "slowest", "families", "tasks"];
const RUN_STATES = {
  ...STATES,
  busy: { letter: "b", word: "Busy" },
  refused: { letter: "f", word: "Refused" },
  unavailable: { letter: "f", word: "Unavailable" },
  open: { letter: "u", word: "Open" },
};

const live = new Map(); // the runs of the process as they were told last, by id
let past = []; // the runs of the log
let service = { workspace: "", version: "" };
let source = null;
let shown = null; // the run that is drawn
let views = [];
let filterBar = null;
let places = new Map(); // of its tasks, by key
let opened = null; // the task in the panel, and what it looked like
let samples = []; // how much was done when
const pressed = new Set();

const moment = (time) => (time ? new Date(time).toLocaleString() : "");
/** Of what goes on nobody reads the tenths. */
const whole = (seconds) => (seconds < 60 ? `${Math.floor(seconds)} s` : duration(Math.floor(seconds)));
const about = (seconds) => (seconds < 1 ? duration(seconds) : whole(Math.ceil(seconds)));
const stateOf = (run) => RUN_STATES[run.state] ?? { letter: "u", word: run.state };

function allRuns() {
  const all = new Map(past.map((run) => [run.run, run]));
  for (const [id, run] of live) all.set(id, run);
  return [...all.values()].sort((a, b) => (a.run < b.run ? 1 : -1)).slice(0, RUNS_SHOWN);
}

/** What is chosen stands in the address, `#run` or `#run/key`; where nothing stands there the newest run is shown. */
function chosen() {
  const [run, key] = location.hash.slice(1).split("/");
  return { run, key };
}

/** Shows the run that is chosen, or the newest. */
function showRun() {
  const all = allRuns();
  const run = all.find((one) => one.run === chosen().run) ?? all[0];
  drawRuns(all, run);
  if (!run) {
    part("notice").hidden = false;
    part("notice").textContent = "No run yet: POST / starts one.";
    return;
  }
  if (shown?.id === run.run) shown.tell(run);
  else turnTo(run);
  drawHead(run);
  drawRunning(run);
}

function turnTo(run) {
  shown?.leave();
  part("notice").hidden = true;
  part("attempts").style.minHeight = "";
  clearSections();
  panel.hide();
  opened = null;
  samples = [];
  shown = createRun(run.run, { drawn: drawRun, redrawn: redrawRun });
  shown.tell(run);
  shown.load();
  if (!live.has(run.run)) lookUp(run.run);
}

/** The log has more to tell of one run than of all. */
async function lookUp(id) {
  const run = await askJson(`runs/${id}`).catch(() => null);
  if (!run || live.has(id)) return;
  past = past.map((one) => (one.run === id ? run : one));
  showRun();
}

function clearSections() {
  views = [];
  for (const id of SECTIONS) {
    part(id).hidden = true;
    part(id).replaceChildren(part(id).querySelector("h2"));
  }
}

function drawRuns(all, current) {
  part("past").hidden = all.length === 0;
  const rows = all.map((run) => {
    const { letter, word } = stateOf(run);
    return el("li", {}, el("button", {
      type: "button", class: "run", "data-focus": run.run, "data-run": run.run, "aria-current": String(run === current),
      on: { click: () => { location.hash = run.run; } },
    },
    el("span", { class: `outcome-word o-${letter}` }, mark(letter), word),
    el("bdi", { text: clip(run.root ?? "", 200) }),
    el("span", { class: "hint", text: moment(run.start) }),
    el("span", { class: "hint counts", text: counted(run.counts) })));
  });
  const list = part("runs");
  const isSame = rows.length === list.children.length && rows.every((row, i) => row.isEqualNode(list.children[i]));
  if (!isSame) keepFocus(list, () => list.replaceChildren(...rows));
}

function counted(counts) {
  if (!counts) return "";
  const words = OUTCOME_ORDER.map((letter) => [counts[OUTCOMES[letter].count], letter === "l" ? "left" : OUTCOMES[letter].name]);
  return words.filter(([count]) => count > 0).map(([count, word]) => `${number(count)} ${word}`).join(", ");
}

/** The run as a whole: what is told of it four times a second. */
function drawHead(run) {
  const { letter, word } = stateOf(run);
  if (part("state").textContent !== word) {
    part("state").replaceChildren(el("span", { class: `state o-${letter}` }, mark(letter), word));
  }
  if (part("title").textContent !== run.root) part("title").textContent = run.root ?? "";
  part("facts").hidden = false;
  part("facts").replaceChildren(...headFacts(run));
  part("error").hidden = !run.error;
  if (part("error").textContent !== (run.error ?? "")) part("error").textContent = run.error ?? "";
  const warnings = run.warnings ?? [];
  part("warnings").hidden = warnings.length === 0;
  if (part("warnings").childElementCount !== warnings.length) {
    part("warnings").replaceChildren(...warnings.map((text) => el("li", { text })));
  }
  document.title = `${shareDone(run)}${run.root} · kart`;
}

function headFacts(run) {
  const isLive = shown.isLive();
  const took = shown.elapsed();
  const rate = isLive ? rateOf(run) : null;
  const left = run.counts?.left ?? 0;
  const facts = [
    fact("Started", el("time", { datetime: run.start, text: moment(run.start) })),
  ];
  // A run of the past that was killed has no end.
  if (isLive || run.end || run.elapsed_seconds) facts.push(fact(isLive ? "Running for" : "Took", isLive ? whole(took) : duration(took)));
  if (rate) facts.push(fact("Rate", `${rate < 10 ? rate.toFixed(1) : number(Math.round(rate))} tasks a second`));
  if (rate && left) facts.push(fact("Left", `${number(left)}, about ${whole(Math.ceil(left / rate))}`));
  if (isLive && run.deadline_seconds) facts.push(fact("Stops after", duration(run.deadline_seconds)));
  facts.push(fact("Workspace", el("bdi", { class: "mono", text: run.workspace ?? service.workspace })));
  facts.push(fact("Host", el("bdi", { text: run.host }), ` · process ${run.pid}`));
  if (run.bytes) facts.push(fact("Written", bytes(run.bytes)));
  if (run.waiting) facts.push(fact("Waiting", plural(run.waiting, "client")));
  if (run.owner) facts.push(fact("Held by", `${run.owner.host} · process ${run.owner.pid}`));
  if (run.successor) facts.push(fact("Handed on as", el("code", { text: run.successor })));
  return facts;
}

function doneOf({ counts }) {
  return (counts?.ran ?? 0) + (counts?.elsewhere ?? 0) + (counts?.failed ?? 0);
}

/** Tasks a second over the last while; none before there is a while. */
function rateOf(run) {
  const now = performance.now();
  const done = doneOf(run);
  samples.push({ at: now, done });
  while (samples.length > 2 && now - samples[0].at > RATE_WINDOW) samples.shift();
  const [first] = samples;
  const seconds = (now - first.at) / 1000;
  if (seconds >= 1) return (done - first.done) / seconds;
  return run.elapsed_seconds >= 1 ? done / run.elapsed_seconds : null;
}

function shareDone(run) {
  const missing = run.missing ?? 0;
  return shown.isLive() && missing ? `${Math.floor((100 * doneOf(run)) / missing)} % · ` : "";
}

function drawRunning(run) {
  const running = run.running ?? [];
  const list = part("attempts");
  part("running").hidden = running.length === 0 && !shown.isLive();
  const items = running.map((attempt) => {
    const item = el("li", { class: "attempt" });
    const again = attempt.attempt > 1 ? `, attempt ${attempt.attempt}` : "";
    const expected = attempt.expected_seconds ? ` of about ${about(attempt.expected_seconds)}` : "";
    item.append(
      button(clip(attempt.description), () => openKey(attempt.key, `[data-focus="${attempt.key}"]`), { class: "link", dir: "auto", "data-focus": attempt.key }),
      el("span", { class: "num", text: `${whole(attempt.seconds)}${expected}${again}` }));
    if (attempt.total) item.append(el("progress", { max: attempt.total, value: Math.min(attempt.done, attempt.total), "aria-label": "How far it is" }));
    const count = attempt.done ? `${number(attempt.done)}${attempt.total ? ` of ${number(attempt.total)}` : ""}` : "";
    const at = [count, attempt.message].filter(Boolean).join(": ");
    if (at) item.append(el("span", { class: "hint", text: at }));
    return item;
  });
  if (run.under_way > running.length) items.push(el("li", { class: "hint", text: `… and ${number(run.under_way - running.length)} more` }));
  if (!items.length) items.push(el("li", { class: "hint", text: "Nothing at the moment." }));
  keepFocus(list, () => list.replaceChildren(...items));
  // What stands below stays where it is while attempts come and go.
  list.style.minHeight = shown.isLive() ? `${Math.max(parseFloat(list.style.minHeight) || 0, list.offsetHeight)}px` : "";
  drawJumps();
}

/** The run's tasks, when its graph is there. */
function drawRun(model) {
  clearSections();
  places = new Map(model.data.tasks.key.map((key, task) => [key, task]));
  const open = (task, from) => openKey(model.key(task), from);
  views.push(drawFailures(model, part("failures"), open));
  if (model.count) show("graph", (section) => { views.push(createGraph(model, section, { open, isOpened: model.count <= FEW_TASKS })); });
  show("timeline", (section) => { views.push(createTimeline(model, section, { open })); });
  show("families", (section) => { views.push(drawFamilies(model, section, (text) => filterBar.search(text))); });
  show("tasks", (section) => { views.push(createTaskTable(model, section, open)); });
  part("bar").hidden = false;
  filterBar = wireFilter(model, views, pressed);
  drawEnd(model, open);
  part("progress").hidden = false;
  drawProgress({ counts: countsOf(model) });
  drawJumps();
  follow();
  performance.mark("run-shown");
}

/** How many tasks of the run are not drawn: of one of the past the log tells only what it came to. */
function untold(model) {
  const run = allRuns().find((one) => one.run === shown.id);
  return model.data.live ? 0 : Math.max(0, (run?.tasks ?? 0) - model.count);
}

/** The outcomes of all tasks of the run, also of those that are not drawn. */
function countsOf(model) {
  const others = untold(model);
  const told = allRuns().find((one) => one.run === shown.id)?.counts;
  part("notice").hidden = others === 0;
  if (others === 0) return model.counts;
  part("notice").textContent = `The run log tells of ${number(model.count)} of the ${plural(model.count + others, "task")}: of those that the run came to.`;
  if (!told) return { ...model.counts, l: (model.counts.l ?? 0) + others };
  const counts = {};
  for (const letter of OUTCOME_ORDER) counts[letter] = told[OUTCOMES[letter].count] ?? 0;
  return counts;
}

/** What is known at the end alone. */
function drawEnd(model, open) {
  if (model.data.live) return;
  for (const id of ["critical", "slowest"]) part(id).replaceChildren(part(id).querySelector("h2"));
  show("critical", (section) => drawCritical(model, section, open));
  show("slowest", (section) => drawSlowest(model, section, open));
}

function redrawRun(model) {
  for (const view of views) view.update?.();
  filterBar.update();
  drawProgress({ counts: countsOf(model) });
  drawEnd(model, (task, from) => openKey(model.key(task), from));
  drawJumps();
  if (opened && opened.looks !== looksOf(model, opened.task)) {
    opened.looks = looksOf(model, opened.task);
    panel.refresh(model, opened.task);
  }
}

const looksOf = (model, task) => `${model.outcome(task)}${rowOf(model.attemptsOf, task).length}`;

let openedFrom = null;
function openKey(key, from) {
  openedFrom = typeof from === "string" ? () => document.querySelector(from) ?? part("main") : from;
  const hash = `#${shown.id}/${key}`;
  if (location.hash === hash) follow();
  else location.hash = hash;
}

function closePanel() {
  const isNewest = allRuns()[0]?.run === shown?.id;
  history.replaceState(null, "", isNewest ? location.pathname + location.search : `#${shown.id}`);
  hidePanel();
}

function hidePanel() {
  panel.hide();
  opened = null;
  for (const view of views) view.select?.(-1);
}

/** Shows in the panel what the address names. */
function follow() {
  const { run, key } = chosen();
  const task = run === shown?.id ? places.get(key) : undefined;
  if (task === undefined || !shown.model) {
    if (opened && !key) hidePanel();
    return;
  }
  if (opened?.task !== task || opened.model !== shown.model) panel.show(shown.model, task, openedFrom);
  openedFrom = null;
  opened = { task, model: shown.model, looks: looksOf(shown.model, task) };
  for (const view of views) view.select?.(task);
}

const panel = createPanel(part("panel"), {
  open: (task, from) => openKey(shown.model.key(task), from),
  close: closePanel,
  more: (model, task) => aboutTask(model, task, shown.id),
});

async function lookBack() {
  const told = await askJson(`runs?last=${RUNS_SHOWN}`).catch(() => null);
  if (told) past = told.runs;
  showRun();
}

function linked(text, isLost) {
  part("link").textContent = text;
  part("link").classList.toggle("lost", Boolean(isLost));
}

function signedIn(isIn) {
  part("session").hidden = isIn;
  for (const id of ["head", "main"]) part(id).classList.toggle("closed", !isIn);
  if (!isIn) part("token").focus();
}

/** The browser comes back by itself after a lost connection, but gives up after an answer that is no stream. */
function listen() {
  source?.close();
  source = new EventSource("events");
  source.onopen = () => {
    linked("live");
    signedIn(true);
    lookBack();
  };
  source.onerror = async () => {
    linked("not connected: trying again", true);
    if (source.readyState !== EventSource.CLOSED) return;
    const status = await ask("runs?last=1").then(() => 200, (error) => error.status);
    if (status === 401) {
      linked("signed out", true);
      signedIn(false);
    } else setTimeout(listen, 2000);
  };
  const on = (event, take) => source.addEventListener(event, ({ data }) => take(JSON.parse(data)));
  on("snapshot", (told) => {
    service = told;
    live.clear();
    for (const run of told.runs) live.set(run.run, run);
    part("foot").textContent = `kart ${told.version}`;
    // Another process, or this one after more than it keeps: what was known may be known otherwise.
    shown?.again();
    showRun();
  });
  on("run", (run) => {
    live.set(run.run, run);
    showRun();
  });
  on("changes", (changes) => {
    if (changes.run === shown?.id) shown.change(changes);
  });
}

part("session").addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = JSON.stringify({ token: part("token").value });
  const headers = { "content-type": "application/json" };
  try {
    await ask("session", { method: "POST", headers, body });
    part("refused").textContent = "";
    part("token").value = "";
    listen();
  } catch (error) {
    part("refused").textContent = error.status ? error.message : "The service did not answer.";
  }
});
// A jump moves the page, and leaves the address to what is chosen.
document.addEventListener("click", (event) => {
  const link = event.target.closest("#jumps a, .skip");
  if (!link) return;
  event.preventDefault();
  const section = document.querySelector(link.getAttribute("href"));
  section.scrollIntoView();
  section.tabIndex = -1;
  section.focus({ preventScroll: true });
});
window.addEventListener("hashchange", () => {
  showRun();
  follow();
});
wireTheme(() => views.forEach((view) => view.restyle?.()));
wireSlash();
keepClearOfBar();
listen();
