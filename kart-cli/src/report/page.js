const part = (id) => document.getElementById(id);

function afterPause(action, pause) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, pause);
  };
}

function wireTheme(restyle) {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const name = () => { part("theme").textContent = isDark() ? "Light" : "Dark"; };
  part("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    name();
    restyle();
  });
  system.addEventListener("change", () => {
    name();
    restyle();
  });
  name();
}

function wireFilter(model, views) {
  const matching = createFilter(model);
  const outcomes = new Set();
  const query = part("query");

  const apply = () => {
    const active = query.value.trim() !== "" || outcomes.size > 0;
    const mask = active ? matching(query.value, outcomes) : null;
    const left = mask ? mask.reduce((sum, on) => sum + on, 0) : model.count;
    part("matches").textContent = active ? `${number(left)} of ${plural(model.count, "task")}` : plural(model.count, "task");
    part("reset").hidden = !active;
    for (const view of views) view.filter(mask);
  };

  const chips = OUTCOME_ORDER.filter((letter) => chipCount(letter) > 0 || (letter === "f" && model.data.state !== "planned")).map((letter) => {
    const chip = el("button", { type: "button", class: `chip o-${letter}`, "aria-pressed": "false", "data-outcome": letter, disabled: chipCount(letter) === 0 },
      mark(letter), el("b", { text: number(chipCount(letter)) }), ` ${OUTCOMES[letter].name}`);
    chip.addEventListener("click", () => {
      if (!outcomes.delete(letter)) outcomes.add(letter);
      chip.setAttribute("aria-pressed", String(outcomes.has(letter)));
      apply();
    });
    return chip;
  });

  function chipCount(letter) {
    return model.data.counts[OUTCOMES[letter].count] ?? 0;
  }

  const search = (text) => {
    query.value = text;
    outcomes.clear();
    for (const chip of chips) chip.setAttribute("aria-pressed", "false");
    apply();
  };
  part("chips").replaceChildren(...chips);
  query.addEventListener("input", afterPause(apply, model.count > 50000 ? 80 : 15));
  part("reset").addEventListener("click", () => {
    search("");
    query.focus();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.closest("input, textarea")) return;
    event.preventDefault();
    query.focus();
  });
  apply();
  return (text) => {
    search(text);
    part("tasks").scrollIntoView();
    query.focus({ preventScroll: true });
  };
}

/** The selected task is the part of the address behind `#`, so links to it and the way back work. */
function wireSelection(model, views) {
  const places = new Map(model.data.tasks.key.map((key, task) => [key, task]));
  let source = null;
  const open = (task, from) => {
    source = from ?? null;
    if (location.hash === `#${model.key(task)}`) follow();
    else location.hash = model.key(task);
  };
  const close = () => {
    history.replaceState(null, "", location.href.replace(/#.*$/, ""));
    panel.hide();
    for (const view of views) view.select(-1);
  };
  const panel = createPanel(model, part("panel"), { open, close });
  const follow = () => {
    const task = places.get(location.hash.slice(1));
    if (task === undefined) {
      if (!location.hash && !part("panel").hidden) close();
      return;
    }
    panel.show(task, source);
    source = null;
    for (const view of views) view.select(task);
  };
  window.addEventListener("hashchange", follow);
  return { open, follow };
}

/** Keeps what is jumped to clear of the bar that stays at the top. */
function keepClearOfBar() {
  const bar = part("bar");
  new ResizeObserver(() => {
    const stays = getComputedStyle(bar).position === "sticky";
    document.documentElement.style.scrollPaddingTop = `${stays ? bar.offsetHeight + 12 : 12}px`;
  }).observe(bar);
}

function drawJumps() {
  const shown = [...document.querySelectorAll("main section:not([hidden])")];
  part("jumps").replaceChildren(...shown.map((section) =>
    el("a", { href: `#${section.id}`, text: section.querySelector("h2").textContent })));
  part("jumps").hidden = false;
}

/** In a plan nothing was left: it is yet to run. */
function nameAsPlan() {
  OUTCOMES.l.name = "to run";
  OUTCOMES.c.name = "complete";
  document.title = document.title.replace(/run report$/, "plan");
}

function show(id, draw) {
  part(id).hidden = false;
  if (draw(part(id)) === false) part(id).hidden = true;
}

async function start() {
  const views = [];
  wireTheme(() => views.forEach((view) => view.restyle()));
  const model = buildModel(await readData());
  if (model.data.state === "planned") nameAsPlan();
  const selection = wireSelection(model, views);
  const { open } = selection;
  let search = () => {};
  drawHeader(model.data);
  part("notice").hidden = true;
  part("bar").hidden = false;
  show("failures", (section) => drawFailures(model, section, open));
  if (model.count) show("graph", (section) => { views.push(createGraph(model, section, { open })); });
  if (model.attempts.count) show("timeline", (section) => { views.push(createTimeline(model, section, { open })); });
  show("critical", (section) => drawCritical(model, section, open));
  show("slowest", (section) => drawSlowest(model, section, open));
  show("families", (section) => drawFamilies(model, section, (text) => search(text)));
  show("tasks", (section) => { views.push(createTaskTable(model, section, open)); });
  search = wireFilter(model, views);
  drawJumps();
  keepClearOfBar();
  selection.follow();
}

start().catch((error) => {
  part("notice").hidden = false;
  part("notice").className = "notice broken";
  part("notice").setAttribute("role", "alert");
  part("notice").textContent = `This report can’t be shown: ${error.message}.`;
}).finally(() => {
  part("main").removeAttribute("aria-busy");
  performance.mark("report-shown");
});
