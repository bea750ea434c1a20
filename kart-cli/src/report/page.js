async function readData() {
  if (typeof DecompressionStream === "undefined") {
    throw new Error("this browser is too old to unpack it (it has no DecompressionStream)");
  }
  const data = await unpack(document.getElementById("data").textContent.trim()).catch((cause) => {
    throw new Error("its data can’t be read. The file was cut off or changed on its way", { cause });
  });
  if (data.schema !== 1) throw new Error(`its data has form ${data.schema}, and this page knows form 1`);
  return data;
}

async function unpack(base64) {
  const text = atob(base64);
  const packed = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i += 1) packed[i] = text.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
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
    for (const view of views) view.select?.(-1);
  };
  const panel = createPanel(part("panel"), { open, close });
  const follow = () => {
    const task = places.get(location.hash.slice(1));
    if (task === undefined) {
      if (!location.hash && !part("panel").hidden) close();
      return;
    }
    panel.show(model, task, source);
    source = null;
    for (const view of views) view.select?.(task);
  };
  window.addEventListener("hashchange", follow);
  return { open, follow };
}

/** In a plan nothing was left: it is yet to run. */
function nameAsPlan() {
  OUTCOMES.l.name = "to run";
  OUTCOMES.c.name = "complete";
  document.title = document.title.replace(/run report$/, "plan");
}

async function start() {
  const views = [];
  wireTheme(() => views.forEach((view) => view.restyle?.()));
  const model = buildModel(await readData());
  if (model.data.state === "planned") nameAsPlan();
  const selection = wireSelection(model, views);
  const { open } = selection;
  let search = () => {};
  drawHeader(model);
  part("notice").hidden = true;
  part("bar").hidden = false;
  drawFailures(model, part("failures"), open);
  if (model.count) show("graph", (section) => { views.push(createGraph(model, section, { open })); });
  if (model.attempts.count) show("timeline", (section) => { views.push(createTimeline(model, section, { open })); });
  show("critical", (section) => drawCritical(model, section, open));
  show("slowest", (section) => drawSlowest(model, section, open));
  show("families", (section) => drawFamilies(model, section, (text) => search(text)));
  show("tasks", (section) => { views.push(createTaskTable(model, section, open)); });
  ({ search } = wireFilter(model, views));
  wireSlash();
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
