/** The panel that tells all about one task. */
function createPanel(host, { open, close, more }) {
  let returnTo = null;

  function show(model, task, source) {
    if (source) returnTo = source;
    host.replaceChildren(...panelParts(model, task, { open: (other) => open(other), close: dismiss, more }));
    host.hidden = false;
    host.scrollTop = 0;
    document.body.classList.add("with-panel");
    if (source || host.contains(document.activeElement) || document.activeElement === document.body) {
      host.querySelector("h2").focus({ preventScroll: true });
    }
  }

  /** The same task as it is by now; who reads or has the focus in it stays there. */
  function refresh(model, task) {
    const { scrollTop } = host;
    keepFocus(host, () => host.replaceChildren(...panelParts(model, task, { open: (other) => open(other), close: dismiss, more })));
    host.scrollTop = scrollTop;
  }

  function hide() {
    host.hidden = true;
    host.replaceChildren();
    document.body.classList.remove("with-panel");
  }

  function dismiss() {
    const back = typeof returnTo === "function" ? returnTo() : returnTo;
    returnTo = null;
    close();
    (back?.isConnected ? back : document.getElementById("main")).focus({ preventScroll: true });
  }

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !host.hidden && host.contains(document.activeElement)) dismiss();
  });
  return { show, refresh, hide };
}

function panelParts(model, task, { open, close, more }) {
  const family = model.data.families[model.family[task]];
  const letter = model.outcome(task);
  const rerun = model.rerun(task);
  const parts = [
    el("div", { class: "panel-top" },
      el("span", { class: `outcome-word o-${letter}` }, mark(letter), OUTCOMES[letter].name),
      button("✕", close, { class: "quiet", "data-focus": "close", "aria-label": "Close the task" })),
    el("h2", { id: "panel-h", tabindex: "-1", "data-focus": "title", class: "mono", dir: "auto", text: model.label(task) }),
    el("dl", { class: "panel-facts" },
      fact("Family", el("bdi", { text: family.name }), family.external ? el("span", { class: "tag", text: "external" }) : null),
      family.doc ? fact("About", el("bdi", { class: "doc", text: family.doc })) : null,
      family.file ? fact("Source", el("code", { text: `${family.file}:${family.line}` })) : null,
      fact("Key", el("code", { text: model.key(task) })),
      fact("Path", el("code", {}, el("bdi", { text: model.path(task) })))),
  ];
  if (rerun) parts.push(el("h3", { text: "Run it again" }), command(rerun, "Copy the command that runs this task again"));
  parts.push(...attemptParts(model, task));
  if (more) parts.push(more(model, task));
  parts.push(...linkParts(model, "Requires", rowOf(model.requires, task), open));
  parts.push(...linkParts(model, "Required by", rowOf(model.consumers, task), open));
  return parts;
}

function attemptParts(model, task) {
  const row = rowOf(model.attemptsOf, task);
  if (!row.length) return [];
  return [el("h3", { text: "Attempts" }),
    ...growingList(el("ol", { class: "panel-attempts" }), row.length, (i) => attemptItem(model, row[i]), 20, 100)];
}

function attemptItem(model, attempt) {
  const { attempts } = model;
  const outcome = attempts.outcome[attempt];
  const error = model.error(attempt);
  const size = attempts.bytes[attempt];
  return el("li", {},
    el("p", {}, mark(outcome), el("strong", { text: `${attempts.number[attempt]}: ${ATTEMPT_OUTCOMES[outcome]}` }),
      el("span", { text: ` after ${duration(attemptTime(model, attempt))}, begun at ${duration(attempts.start[attempt])}${size ? `, ${bytes(size)}` : ""}` })),
    error ? el("pre", { class: "error", text: error, tabindex: "0", role: "group", "aria-label": "Error" }) : null);
}

function linkParts(model, title, tasks, open) {
  if (!tasks.length) return [];
  const item = (i) => el("li", {}, outcomeMark(model.outcome(tasks[i])), taskLink(model, tasks[i], open, 160));
  return [el("h3", { text: tasks.length > 1 ? `${title} ${number(tasks.length)} tasks` : `${title} 1 task` }),
    ...growingList(el("ul", { class: "panel-links" }), tasks.length, item, 30, 200)];
}
