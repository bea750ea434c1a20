const HEAD_HEIGHT = 54;
const ROW_HEIGHT = 23;
const MARGIN = 26;
const SHOWN_TASKS = 60;
const MAX_TASK_EDGES = 600;

/** The edges between families, with how many task edges each stands for. */
function familyEdges(model) {
  const total = model.data.families.length;
  const counts = new Map();
  const { offsets, items } = model.requires;
  for (let task = 0; task < model.count; task += 1) {
    const to = model.family[task];
    for (let i = offsets[task]; i < offsets[task + 1]; i += 1) {
      const edge = model.family[items[i]] * total + to;
      counts.set(edge, (counts.get(edge) ?? 0) + 1);
    }
  }
  return [...counts].map(([edge, count]) => ({ from: Math.floor(edge / total), to: edge % total, count }));
}

function createGraph(model, host, { open, isOpened = model.count <= SHOWN_TASKS }) {
  const between = familyEdges(model);
  const { members } = model;
  const used = members.map((_, family) => family).filter((family) => members[family].length);
  const expanded = new Set(isOpened ? used : []);
  let mask = null;
  let selected = -1;
  let zoom = 0;
  let focused = null;
  let view;

  const stage = el("div", { class: "stage" });
  const sizer = el("div", { class: "sizer" }, stage);
  const scroller = el("div", {
    class: "graph-view", tabindex: "0", role: "group",
    "aria-label": "Task graph. Arrow keys move between its nodes, Enter opens one.",
  }, sizer);
  const every = button("", () => toggleAll(), { class: "quiet" });
  host.append(
    el("div", { class: "tools" },
      el("p", { class: "hint", text: "What is required stands to the left. A family opens into its tasks." }),
      every,
      zoomButtons(() => setZoom(zoom * 1.25), () => setZoom(zoom / 1.25), () => fitAll(), "graph")),
    scroller);

  function toggleAll() {
    const opening = expanded.size < used.length;
    expanded.clear();
    if (opening) for (const family of used) expanded.add(family);
    draw();
  }

  function toggle(family) {
    const before = placeOnScreen(family);
    if (!expanded.delete(family)) expanded.add(family);
    draw();
    const after = placeOnScreen(family);
    scroller.scrollLeft += after.left - before.left;
    scroller.scrollTop += after.top - before.top;
    view.heads.get(family).focus({ preventScroll: true });
  }

  function placeOnScreen(family) {
    return view.heads.get(family).getBoundingClientRect();
  }

  function draw() {
    every.textContent = expanded.size < used.length ? "Open all" : "Close all";
    view = arrange();
    stage.replaceChildren(drawEdges(view), ...view.boxes.map(drawBox));
    view.heads = new Map();
    for (const head of stage.querySelectorAll(".family-head")) view.heads.set(Number(head.dataset.family), head);
    applyMask();
    applySelection();
    rove(stage.querySelector(".node"));
    if (zoom) {
      const { scrollTop, scrollLeft } = scroller;
      setZoom(zoom);
      scroller.scrollTo(scrollLeft, scrollTop);
    } else {
      fit(scroller.clientWidth < 600 ? 0.85 : 0.62);
      reveal(mostUrgentBox());
    }
  }

  /** Which boxes there are, where they stand, and what each task is drawn as. */
  function arrange() {
    const boxOf = new Map();
    const boxes = used.map((family, place) => {
      boxOf.set(family, place);
      const open = expanded.has(family);
      const shown = open ? mostUrgent(family) : [];
      const rest = open ? members[family].length - shown.length : 0;
      const rows = shown.length + (rest ? 1 : 0);
      return { family, open, shown, rest, height: HEAD_HEIGHT + (rows ? rows * ROW_HEIGHT + 6 : 0) };
    });
    const links = between.filter(({ from, to }) => from !== to);
    const placed = layOut(boxes.map((box) => box.height), links.map(({ from, to }) => [boxOf.get(from), boxOf.get(to)]));
    boxes.forEach((box, i) => { box.x = placed.boxes[i].x; box.y = placed.boxes[i].y; });
    const passing = new Map(links.map(({ from, to }, i) => [`${from}>${to}`, placed.passing[i]]));
    return { boxes, boxOf, passing, width: placed.width + 2 * MARGIN, height: placed.height + 2 * MARGIN };
  }

  /** Which tasks of a family are shown: those that the filter leaves before others, then by urgency. */
  function mostUrgent(family) {
    const tasks = members[family];
    if (tasks.length <= SHOWN_TASKS) return tasks;
    const groups = OUTCOME_ORDER.map(() => []);
    const masked = [];
    for (const task of tasks) (mask && !mask[task] ? masked : groups[URGENCY[model.outcome(task)]]).push(task);
    return groups.flat().concat(masked).slice(0, SHOWN_TASKS);
  }

  function drawBox(box) {
    const { family } = box;
    const name = model.data.families[family].name;
    const head = button("", () => toggle(family), {
      class: "node family-head", "data-family": family, "data-focus": `f${family}`, "aria-expanded": String(box.open), title: clip(name, 500),
    });
    head.append(
      el("span", { class: "family-line" },
        el("span", { class: "caret", "aria-hidden": "true" }),
        el("bdi", { class: "family-name", text: clip(name, 80) }),
        el("span", { class: "family-count", text: number(members[family].length) })),
      el("span", { class: "stack" }),
      el("span", { class: "family-words" }));
    fillHead(head, family);
    const list = box.open ? [el("div", { class: "family-tasks" }, ...taskRows(box))] : [];
    const node = el("div", { class: `family-box${box.open ? " open" : ""}` }, head, ...list);
    node.style.cssText = `left:${box.x + MARGIN}px;top:${box.y + MARGIN}px;height:${box.height}px`;
    return node;
  }

  function fillHead(head, family) {
    const { outcomes } = model.familyStats[family];
    head.querySelector(".stack").replaceChildren(...stackParts(outcomes));
    head.querySelector(".family-words").replaceChildren(...familyWords(outcomes));
  }

  function fillRow(row, task) {
    const letter = model.outcome(task);
    if (row.dataset.outcome === letter) return;
    row.dataset.outcome = letter;
    row.querySelector(".mark").replaceWith(outcomeMark(letter));
  }

  function familyWords(outcomes) {
    const letters = OUTCOME_ORDER.filter((letter) => outcomes[letter] > 0);
    return letters.slice(0, 4).map((letter) =>
      el("span", { class: "family-word" }, outcomeMark(letter), number(outcomes[letter])));
  }

  function taskRows(box) {
    const parts = distinctParts(box.shown.map(model.label), model.data.families[box.family].name);
    const rows = box.shown.map((task, i) => {
      const row = button("", () => open(task, row), {
        class: "node task-row", "data-task": task, "data-focus": `t${task}`, title: clip(model.label(task), 500),
      });
      row.append(mark("l"), el("bdi", { text: oneLine(parts[i], 80) }));
      fillRow(row, task);
      return row;
    });
    if (box.rest) rows.push(el("p", { class: "task-rest", text: `… and ${number(box.rest)} more` }));
    return rows;
  }

  function drawEdges(shape) {
    const lines = svg("svg", { class: "edges", width: shape.width, height: shape.height, "aria-hidden": "true" });
    lines.append(svg("defs", {}, arrowHead("arrow"), arrowHead("arrow-on")));
    shape.lines = visibleEdges(model, shape, between, expanded).map((edge) => {
      const points = edgePoints(shape, edge, MARGIN);
      const line = svg("path", { class: "edge", d: points.d, "marker-end": "url(#arrow)" });
      line.style.strokeWidth = 1.2 + Math.min(2.4, Math.log10(edge.count) * 0.7);
      const fine = edge.a.task >= 0 || edge.b.task >= 0;
      const group = svg("g", { class: `${edge.turned ? "turned" : ""}${fine ? " fine" : ""}` }, line);
      if (edge.count > 1) group.append(svg("text", { x: points.x, y: points.y }, `×${number(edge.count)}`));
      lines.append(group);
      return { ...edge, group };
    });
    return lines;
  }

  function arrowHead(id) {
    return svg("marker", { id, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 8, markerHeight: 8, markerUnits: "userSpaceOnUse", orient: "auto" },
      svg("path", { d: "M0 .8 8 4 0 7.2z" }));
  }

  function emphasise(node) {
    stage.classList.toggle("emphasis", Boolean(node));
    stage.classList.toggle("of-task", node?.dataset.task !== undefined);
    for (const on of stage.querySelectorAll(".near")) on.classList.remove("near");
    if (!node) return;
    const task = node.dataset.task === undefined ? -1 : Number(node.dataset.task);
    const family = task >= 0 ? model.family[task] : Number(node.dataset.family);
    const touches = (end) => (task >= 0 ? end.task === task : end.family === family);
    node.classList.add("near");
    for (const { a, b, group } of view.lines) {
      if (!touches(a) && !touches(b)) continue;
      group.classList.add("near");
      for (const end of [a, b]) nodeOf(end)?.classList.add("near");
    }
  }

  function nodeOf(end) {
    return end.task >= 0 ? stage.querySelector(`[data-task="${end.task}"]`) : view.heads.get(end.family);
  }

  function applyMask() {
    const kept = new Uint32Array(model.data.families.length);
    if (mask) mask.forEach((on, task) => { kept[model.family[task]] += on; });
    for (const [family, head] of view.heads) {
      head.parentNode.classList.toggle("dim", Boolean(mask) && kept[family] === 0);
      const count = members[family].length;
      head.querySelector(".family-count").textContent =
        mask && kept[family] < count ? `${number(kept[family])} of ${number(count)}` : number(count);
    }
    for (const row of stage.querySelectorAll(".task-row")) {
      row.classList.toggle("dim", Boolean(mask) && !mask[Number(row.dataset.task)]);
    }
  }

  function applySelection() {
    for (const row of stage.querySelectorAll(".selected")) row.classList.remove("selected");
    if (selected < 0) return;
    stage.querySelector(`[data-task="${selected}"]`)?.classList.add("selected");
    view.heads.get(model.family[selected])?.parentNode.classList.add("selected");
  }

  function setZoom(value) {
    const next = Math.min(2, Math.max(0.04, value));
    const middle = (scroller.scrollLeft + scroller.clientWidth / 2) / (zoom || next);
    zoom = next;
    stage.style.cssText = `width:${view.width}px;height:${view.height}px;transform:scale(${zoom})`;
    sizer.style.cssText = `width:${view.width * zoom}px;height:${view.height * zoom}px`;
    scroller.scrollLeft = middle * zoom - scroller.clientWidth / 2;
  }

  function fit(least) {
    setZoom(Math.min(1, Math.max(least, (scroller.clientWidth - 2) / view.width)));
  }

  function mostUrgentBox() {
    const having = (letter) => view.boxes.find(({ family }) => model.familyStats[family].outcomes[letter]);
    return having("f") ?? having("i") ?? view.boxes.reduce((left, box) => (box.x < left.x ? box : left));
  }

  function reveal(box) {
    scroller.scrollTo(
      Math.max(0, box.x + MARGIN + NODE_WIDTH - (scroller.clientWidth * 0.8) / zoom) * zoom,
      Math.max(0, box.y + MARGIN + HEAD_HEIGHT - (scroller.clientHeight * 0.8) / zoom) * zoom);
  }

  function fitAll() {
    const room = Math.min(640, window.innerHeight * 0.78) - 2;
    setZoom(Math.min(1, (scroller.clientWidth - 2) / view.width, room / view.height));
    scroller.scrollTo(0, 0);
  }

  function rove(node) {
    focused?.setAttribute("tabindex", "-1");
    for (const other of stage.querySelectorAll('.node:not([tabindex="-1"])')) other.setAttribute("tabindex", "-1");
    focused = node;
    node?.setAttribute("tabindex", "0");
  }

  function step(node, key) {
    const nodes = [...stage.querySelectorAll(".node")];
    if (key === "ArrowUp" || key === "ArrowDown") return nearest(nodes, node, 0, key === "ArrowUp" ? -1 : 1);
    return nearest(nodes, node, key === "ArrowLeft" ? -1 : 1, 0);
  }

  stage.addEventListener("focusin", (event) => { rove(event.target.closest(".node")); emphasise(event.target.closest(".node")); });
  stage.addEventListener("focusout", () => emphasise(null));
  stage.addEventListener("pointerover", (event) => emphasise(event.target.closest(".node")));
  stage.addEventListener("pointerleave", () => emphasise(null));
  scroller.addEventListener("keydown", (event) => {
    const node = event.target.closest(".node");
    const next = node && event.key.startsWith("Arrow") && step(node, event.key);
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
  scroller.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    setZoom(zoom * Math.exp(-event.deltaY / 300));
  }, { passive: false });
  dragToScroll(scroller);
  draw();

  /** Whether a family shows a part of its tasks, and now it would be another. */
  const isStale = () => view.boxes.some(({ family, shown, rest }) =>
    rest > 0 && mostUrgent(family).some((task, i) => task !== shown[i]));

  function redraw() {
    keepFocus(stage, draw);
  }

  return {
    filter(next) {
      mask = next;
      if (isStale()) redraw();
      else applyMask();
    },
    update() {
      for (const [family, head] of view.heads) fillHead(head, family);
      for (const row of stage.querySelectorAll(".task-row")) fillRow(row, Number(row.dataset.task));
      // Nothing moves away below a pointer.
      if (!scroller.matches(":hover, :focus-within") && isStale()) redraw();
    },
    select(task) { selected = task; applySelection(); },
    restyle() {},
  };
}

/** What tells the labels of a family apart: what all have at the start and at the end is cut, by whole parameters. */
function distinctParts(labels, family) {
  const name = `${family.split(/\/|::/).pop()} { `;
  const bare = labels.every((label) => label.startsWith(name) && label.endsWith(" }"));
  const texts = bare ? labels.map((label) => label.slice(name.length, -2)) : labels;
  if (!bare || texts.length < 2) return texts;
  const start = texts[0].slice(0, sharedLength(texts, (text, i) => text[i])).lastIndexOf(", ");
  const from = start < 0 ? 0 : start + 2;
  const rests = texts.map((text) => text.slice(from));
  const shared = sharedLength(rests, (text, i) => text[text.length - 1 - i]);
  const end = shared ? rests[0].slice(-shared).indexOf(", ") : -1;
  return end < 0 ? rests : rests.map((text) => text.slice(0, text.length - shared + end));
}

function sharedLength(texts, at) {
  const least = texts.reduce((min, text) => Math.min(min, text.length), 500);
  let length = 0;
  while (length < least && texts.every((text) => at(text, length) === at(texts[0], length))) length += 1;
  return length;
}

/** The next node in a direction, by where the nodes are on the screen. */
function nearest(nodes, from, right, down) {
  const here = from.getBoundingClientRect();
  let best = null;
  let least = Infinity;
  for (const node of nodes) {
    const there = node.getBoundingClientRect();
    const x = there.left - here.left;
    const y = (there.top + there.bottom - here.top - here.bottom) / 2;
    const along = right ? x * right : y * down;
    const across = Math.abs(right ? y : x);
    if (along < 2 || (down && across > here.width)) continue;
    const cost = along + across * (right ? 1 : 4);
    if (cost < least) {
      least = cost;
      best = node;
    }
  }
  return best;
}

function zoomButtons(closer, wider, all, what) {
  return el("div", { class: "zoom", role: "group", "aria-label": `Zoom of the ${what}` },
    button("−", wider, { "aria-label": `Zoom out of the ${what}` }),
    button("+", closer, { "aria-label": `Zoom into the ${what}` }),
    button("Fit", all, { "aria-label": `Fit the ${what}` }));
}

function dragToScroll(scroller) {
  let from = null;
  scroller.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "mouse" || event.button !== 0 || event.target.closest("button")) return;
    from = { x: event.clientX + scroller.scrollLeft, y: event.clientY + scroller.scrollTop };
    scroller.setPointerCapture(event.pointerId);
    scroller.classList.add("dragging");
  });
  scroller.addEventListener("pointermove", (event) => {
    if (from) scroller.scrollTo(from.x - event.clientX, from.y - event.clientY);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    scroller.addEventListener(end, () => {
      from = null;
      scroller.classList.remove("dragging");
    });
  }
}
