const STATES = {
  running: { letter: "p", word: "Running" },
  stopping: { letter: "i", word: "Stopping" },
  complete: { letter: "r", word: "Complete" },
  failed: { letter: "f", word: "Failed" },
  interrupted: { letter: "i", word: "Interrupted" },
  planned: { letter: "l", word: "Planned" },
};

function taskLink(model, task, open, length = 240) {
  const label = model.label(task);
  const link = button(clip(label, length), () => open(task, link), { class: "link", dir: "auto", title: clip(label, 600) });
  return link;
}

function fact(name, ...value) {
  return el("div", {}, el("dt", { text: name }), el("dd", {}, ...value));
}

function drawHeader(model) {
  const { data } = model;
  const state = STATES[data.state] ?? { letter: "u", word: data.state };
  document.getElementById("state").replaceChildren(
    el("span", { class: `state o-${state.letter}` }, mark(state.letter), state.word));
  const started = new Date(data.started);
  const when = Number.isNaN(started.valueOf()) ? String(data.started) : `${started.toISOString().slice(0, 19).replace("T", " ")} UTC`;
  const requests = Object.entries(data.requests ?? {}).filter(([, count]) => count > 0).map(([name, count]) => `${number(count)} ${name}`);
  document.getElementById("facts").replaceChildren(
    fact(data.state === "planned" ? "Planned" : "Started", el("time", { datetime: data.started, title: started.toLocaleString(), text: when })),
    ...(data.state === "planned" ? [] : [fact("Took", duration(data.elapsed))]),
    fact("Workspace", el("bdi", { class: "mono", text: data.workspace })),
    fact("Host", el("bdi", { text: data.host }), ` · process ${data.pid}`),
    fact("Workers", number(data.workers)),
    ...(requests.length ? [fact("Requests", requests.join(", "))] : []),
    ...(data.state === "planned" ? [] : [fact("Written", el("span", { title: `${number(data.bytes)} bytes`, text: bytes(data.bytes) }))]));
  drawProgress(model);
  document.getElementById("foot").replaceChildren(`kart ${data.kart}`);
}

function drawProgress({ counts }) {
  const progress = document.getElementById("progress");
  progress.setAttribute("aria-label", `Tasks: ${countWords(counts) || "none"}`);
  progress.replaceChildren(...stackParts(counts));
}

function failedTasks(model) {
  return Array.from({ length: model.count }, (_, task) => task).filter((task) => model.outcome(task) === "f");
}

function drawFailures(model, section, open) {
  const failed = failedTasks(model);
  const list = growingList(el("div", { class: "failures" }), failed.length, (i) => failureCard(model, failed[i], i < 3, open), 30, 100);
  const tell = () => {
    section.hidden = failed.length === 0;
    section.querySelector("h2").textContent = failed.length === 1 ? "1 failure" : `${number(failed.length)} failures`;
  };
  section.append(...list);
  tell();
  return {
    /** What has failed since comes below what somebody may be reading. */
    update() {
      for (const blocks of section.querySelectorAll("[data-blocks]")) blocks.textContent = blocksOf(model, Number(blocks.dataset.blocks));
      const known = new Set(failed);
      failed.push(...failedTasks(model).filter((task) => !known.has(task)));
      if (failed.length === known.size) return;
      list.update(failed.length);
      tell();
    },
  };
}

function failureCard(model, task, opened, open) {
  const error = model.error(model.last[task]) ?? "No error was kept.";
  const card = el("details", { class: "failure", open: opened },
    el("summary", {}, mark("f"), el("bdi", { class: "failure-label", text: clip(model.label(task), 400) }),
      el("span", { class: "failure-brief", text: oneLine(error, 160) })));
  let filled = false;
  const fill = () => {
    if (filled || !card.open) return;
    filled = true;
    card.append(failureBody(model, task, error, open));
  };
  card.addEventListener("toggle", fill);
  fill();
  return card;
}

function blocksOf(model, task) {
  const behind = blockedBehind(model, task);
  return behind ? plural(behind, "task") : "nothing else";
}

function failureBody(model, task, error, open) {
  const tries = rowOf(model.attemptsOf, task).length;
  const rerun = model.rerun(task);
  const details = button("Show the task", () => open(task, details), { class: "quiet" });
  const body = el("div", { class: "failure-body" },
    el("pre", { class: "error", text: error, tabindex: "0", role: "group", "aria-label": "Error" }),
    el("dl", { class: "facts" },
      fact("Attempts", number(tries)),
      fact("Blocks", el("span", { "data-blocks": task, text: blocksOf(model, task) })),
      fact("Key", el("code", { text: model.key(task) })),
      fact("Path", el("code", {}, el("bdi", { text: model.path(task) })))));
  if (rerun) body.append(el("p", { class: "hint", text: "Run just this task again:" }), command(rerun, "Copy the command that runs this task again"));
  body.append(details);
  return body;
}

function drawCritical(model, section, open) {
  const { tasks, fromRoot } = model.critical;
  if (!tasks.length) return false;
  const { attempts, attemptsOf, last } = model;
  const began = (task) => attempts.start[attemptsOf.items[attemptsOf.offsets[task]]];
  const ended = (task) => attempts.end[last[task]];
  const busy = tasks.reduce((sum, task) => sum + ended(task) - began(task), 0);
  section.append(el("p", {
    class: "hint",
    text: `${plural(tasks.length, "task")} in a chain, each the last that the next one waited for: ${duration(busy)} of ${duration(model.now)}.${fromRoot ? "" : " No root ran, so it ends with what ended last."}`,
  }));
  const longest = tasks.reduce((max, task) => Math.max(max, ended(task) - began(task)), 0);
  const item = (i) => {
    const task = tasks[i];
    const gap = i ? began(task) - ended(tasks[i - 1]) : began(task);
    const tries = rowOf(attemptsOf, task).length;
    const time = ended(task) - began(task);
    return el("li", {},
      gap >= 0.001 ? el("span", { class: "gap", text: i ? `waited ${duration(gap)}` : `began after ${duration(gap)}` }) : null,
      el("span", { class: "measure" }, outcomeMark(model.outcome(task)), taskLink(model, task, open),
        el("span", { class: "num", text: tries > 1 ? `${duration(time)}, ${tries} attempts` : duration(time) })),
      meter(time / longest));
  };
  section.append(...growingList(el("ol", { class: "measures" }), tasks.length, item, 50, 200));
  return true;
}

function meter(share) {
  const filled = el("span");
  filled.style.width = `${Math.max(0.5, 100 * (share || 0))}%`;
  return el("span", { class: "meter", "aria-hidden": "true" }, filled);
}

function drawSlowest(model, section, open) {
  const time = (task) => attemptTime(model, model.last[task]);
  const ran = Uint32Array.from({ length: model.count }, (_, task) => task).filter((task) => model.last[task] >= 0);
  if (!ran.length) return false;
  const top = ran.sort((a, b) => time(b) - time(a) || a - b).subarray(0, 20);
  section.append(
    el("p", { class: "hint", text: "By the time of the last attempt." }),
    el("ol", { class: "measures" }, ...Array.from(top, (task) => el("li", {},
      el("span", { class: "measure" }, outcomeMark(model.outcome(task)), taskLink(model, task, open),
        el("span", { class: "num", text: duration(time(task)) })),
      meter(time(task) / time(top[0]))))));
  return true;
}

function drawFamilies(model, section, search) {
  const columns = ["Family", "Tasks", "Outcomes", "Ran", "Failed", "Total time", "Median", "Longest", "Bytes"];
  const head = el("tr", {}, ...columns.map((name, i) => el("th", { scope: "col", class: i === 0 || i === 2 ? "" : "num", text: name })));
  const order = model.familyStats.map((_, i) => i).filter((i) => model.familyStats[i].count)
    .sort((a, b) => model.familyStats[b].total - model.familyStats[a].total || a - b);
  const body = el("tbody");
  const [, more] = growingList(body, order.length, (i) => familyRow(model, order[i], search), 50, 200);
  section.append(
    el("div", { class: "wide-view", tabindex: "0", role: "region", "aria-label": "Table of families" },
      el("table", {}, el("caption", { class: "unseen", text: "Families" }), el("thead", {}, head), body)),
    more);
  return {
    update() {
      keepFocus(body, () => {
        [...body.children].forEach((row, i) => row.replaceWith(familyRow(model, order[i], search)));
      });
    },
  };
}

function familyRow(model, family, search) {
  const { name, doc, file, line, external } = model.data.families[family];
  const stats = model.familyStats[family];
  const num = (text) => el("td", { class: "num", text });
  const title = [doc, file && `${file}:${line}`].filter(Boolean).join("\n");
  return el("tr", {},
    el("th", { scope: "row" },
      button(clip(name, 120), () => search(name), { class: "link", dir: "auto", title: clip(title, 600), "data-focus": family, "aria-label": `Show the tasks of ${clip(name, 120)}` }),
      external ? el("span", { class: "tag", text: "external" }) : null),
    num(number(stats.count)),
    el("td", {}, el("span", { class: "stack", role: "img", "aria-label": countWords(stats.outcomes) }, ...stackParts(stats.outcomes))),
    num(number(stats.outcomes.r ?? 0)),
    num(number(stats.outcomes.f ?? 0)),
    ...[stats.total, stats.median, stats.max].map((time) => num(stats.times.length ? duration(time) : "–")),
    num(stats.bytes ? bytes(stats.bytes) : "–"));
}
