const TABLE_ROW = 30;
const OVERSCAN = 6;

/**
 * A table of which only the rows in view are in the document.
 * A column has `name`, `title`, `cell(row)`, and `rank(row)` or `ranks()` to sort by.
 */
function createTable(host, { name, count, columns, rowTask, open, sort }) {
  const ranks = new Map();
  let order = sortedBy(sort.column, sort.down);
  let mask = null;
  let rows = order;
  let selected = -1;
  let active = 0;
  let drawn = { first: -1, last: -1 };

  const body = el("tbody");
  const above = el("tbody", { "aria-hidden": "true" }, spacer());
  const below = el("tbody", { "aria-hidden": "true" }, spacer());
  const heads = columns.map(headCell);
  const table = el("table", { class: "rows" },
    el("caption", { class: "unseen", text: name }),
    el("thead", {}, el("tr", { "aria-rowindex": 1 }, ...heads)), above, body, below);
  const scroller = el("div", { class: "table-view", tabindex: "0", role: "region", "aria-label": `Table of ${name.toLowerCase()}` }, table);
  const none = el("p", { class: "hint", text: "Nothing matches.", hidden: true });
  host.append(scroller, none);

  function headCell(column) {
    const head = el("th", { scope: "col", class: column.name });
    head.append(button(column.title, () => sortOn(column), { class: "sort" }));
    return head;
  }

  function ranksOf(columnName) {
    if (!ranks.has(columnName)) {
      const column = columns.find((each) => each.name === columnName);
      ranks.set(columnName, column.ranks ? column.ranks() : Float64Array.from({ length: count }, (_, row) => column.rank(row)));
    }
    return ranks.get(columnName);
  }

  function sortedBy(columnName, down) {
    const rank = ranksOf(columnName);
    const way = down ? -1 : 1;
    return Uint32Array.from({ length: count }, (_, row) => row).sort((a, b) => way * (rank[a] - rank[b]) || a - b);
  }

  function sortOn(column) {
    sort = { column: column.name, down: sort.column === column.name ? !sort.down : Boolean(column.downFirst) };
    order = sortedBy(sort.column, sort.down);
    refresh();
  }

  function refresh() {
    rows = mask ? order.filter((row) => mask[rowTask(row)]) : order;
    active = 0;
    drawn = { first: -1, last: -1 };
    heads.forEach((head, i) => {
      if (columns[i].name === sort.column) head.setAttribute("aria-sort", sort.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    table.setAttribute("aria-rowcount", rows.length + 1);
    none.hidden = rows.length > 0;
    scroller.scrollTop = 0;
    scroller.style.height = `${Math.min(rows.length, 15.6) * TABLE_ROW + 37}px`;
    draw();
  }

  /** The same rows with new values. They keep their order as long as somebody is at them. */
  function update() {
    for (const column of columns) if (!column.ranks) ranks.delete(column.name);
    const moves = !scroller.matches(":hover, :focus-within");
    if (moves && !columns.find(({ name: each }) => each === sort.column).ranks) {
      order = sortedBy(sort.column, sort.down);
      rows = mask ? order.filter((row) => mask[rowTask(row)]) : order;
    }
    drawn = { first: -1, last: -1 };
    draw();
  }

  function draw() {
    const first = Math.max(0, Math.floor(scroller.scrollTop / TABLE_ROW) - OVERSCAN);
    const shown = Math.ceil((scroller.clientHeight || 500) / TABLE_ROW) + 2 * OVERSCAN;
    const last = Math.min(rows.length, first + shown);
    if (first === drawn.first && last === drawn.last) return;
    const focused = body.contains(document.activeElement);
    drawn = { first, last };
    setHeight(above, first);
    setHeight(below, rows.length - last);
    body.replaceChildren(...Array.from({ length: last - first }, (_, i) => drawRow(first + i)));
    if (focused) (buttonAt(active) ?? scroller).focus({ preventScroll: true });
  }

  function setHeight(part, hidden) {
    part.hidden = hidden === 0;
    part.firstChild.firstChild.style.height = `${hidden * TABLE_ROW}px`;
  }

  function drawRow(place) {
    const row = rows[place];
    const task = rowTask(row);
    const line = el("tr", { "aria-rowindex": place + 2, "data-task": task, class: task === selected ? "selected" : "" });
    for (const column of columns) {
      const content = column.cell(row);
      const cell = el(column.opens ? "th" : "td", { class: column.name, scope: column.opens ? "row" : undefined });
      if (column.opens) cell.append(opener(content, task, place));
      else cell.append(content);
      line.append(cell);
    }
    line.addEventListener("click", (event) => {
      if (!event.target.closest("button")) openRow(task, place);
    });
    return line;
  }

  function opener(text, task, place) {
    return button(clip(text), () => openRow(task, place), {
      class: "link", dir: "auto", title: clip(text, 600), tabindex: place === active ? "0" : "-1", "data-place": place,
    });
  }

  function openRow(task, place) {
    active = place;
    open(task, () => buttonAt(active) ?? scroller);
  }

  function buttonAt(place) {
    return body.querySelector(`[data-place="${place}"]`);
  }

  function moveTo(place) {
    active = Math.min(rows.length - 1, Math.max(0, place));
    const top = active * TABLE_ROW;
    const room = scroller.clientHeight - 2 * TABLE_ROW - 16;
    if (top < scroller.scrollTop) scroller.scrollTop = top;
    else if (top > scroller.scrollTop + room) scroller.scrollTop = top - room;
    draw();
    for (const other of body.querySelectorAll(".link")) other.tabIndex = Number(other.dataset.place) === active ? 0 : -1;
    buttonAt(active)?.focus({ preventScroll: true });
  }

  scroller.addEventListener("keydown", (event) => {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 12, PageUp: -12, Home: -Infinity, End: Infinity };
    const step = steps[event.key];
    if (step === undefined || event.target.closest("thead") || !rows.length) return;
    event.preventDefault();
    moveTo(event.target === scroller && step === 1 ? active : active + step);
  });
  scroller.addEventListener("scroll", () => requestAnimationFrame(draw), { passive: true });
  new ResizeObserver(draw).observe(scroller);
  refresh();

  return {
    filter(next) {
      mask = next;
      refresh();
    },
    update,
    select(task) {
      selected = task;
      for (const line of body.children) line.classList.toggle("selected", Number(line.dataset.task) === task);
    },
    restyle() {},
  };
}

/** One cell: one that spanned all columns would bring back those that a narrow screen hides. */
function spacer() {
  return el("tr", {}, el("td"));
}

/** Ranks of texts in the order a person expects: `2` before `10`. */
function textRanks(count, textOf) {
  const collator = new Intl.Collator("en", { numeric: true });
  const texts = Array.from({ length: count }, (_, i) => clip(textOf(i), 80));
  const order = Uint32Array.from({ length: count }, (_, i) => i).sort((a, b) => collator.compare(texts[a], texts[b]));
  const ranks = new Float64Array(count);
  order.forEach((row, i) => {
    const before = order[i - 1];
    ranks[row] = i > 0 && texts[before] === texts[row] ? ranks[before] : i;
  });
  return ranks;
}

function createTaskTable(model, host, open) {
  const tries = (task) => model.attemptsOf.offsets[task + 1] - model.attemptsOf.offsets[task];
  const lastOf = (task, value, otherwise = "") => (model.last[task] < 0 ? otherwise : value(model.last[task]));
  return createTable(host, {
    name: "Tasks",
    count: model.count,
    rowTask: (task) => task,
    open,
    sort: { column: "outcome", down: false },
    columns: [
      { name: "outcome", title: "Outcome", rank: (task) => URGENCY[model.outcome(task)], cell: outcomeCell },
      { name: "label", title: "Task", opens: true, ranks: () => textRanks(model.count, model.label), cell: model.label },
      { name: "family", title: "Family", ranks: familyRanks, cell: (task) => el("bdi", { text: clip(model.familyName(task), 120) }) },
      { name: "tries num", title: "Attempts", downFirst: true, rank: tries, cell: (task) => (tries(task) ? number(tries(task)) : "") },
      { name: "time num", title: "Time", downFirst: true, rank: (task) => attemptTime(model, model.last[task]), cell: (task) => lastOf(task, (i) => duration(attemptTime(model, i))) },
      { name: "began num", title: "Began", rank: (task) => lastOf(task, (i) => model.attempts.start[i], Infinity), cell: (task) => lastOf(task, (i) => duration(model.attempts.start[i])) },
      { name: "bytes num", title: "Bytes", downFirst: true, rank: (task) => lastOf(task, (i) => model.attempts.bytes[i], -1), cell: (task) => lastOf(task, (i) => (model.attempts.bytes[i] ? bytes(model.attempts.bytes[i]) : "")) },
    ],
  });

  function familyRanks() {
    const { families } = model.data;
    const order = textRanks(families.length, (family) => families[family].name);
    return Float64Array.from(model.family, (family) => order[family]);
  }

  function outcomeCell(task) {
    const letter = model.outcome(task);
    return el("span", { class: `outcome-word o-${letter}` }, mark(letter), el("span", { text: OUTCOMES[letter].name }));
  }
}

/** The timeline's attempts as a table, made when it is asked for. */
function attemptsTable(model, open) {
  const summary = el("summary");
  const box = el("details", { class: "attempts" }, summary);
  let drawn = 0;
  const update = () => {
    const { attempts } = model;
    summary.textContent = `The ${plural(attempts.count, "attempt")} as a table`;
    if (!box.open || drawn === attempts.count) return;
    drawn = attempts.count;
    box.replaceChildren(summary);
    createTable(box, {
      name: "Attempts",
      count: attempts.count,
      rowTask: (attempt) => attempts.task[attempt],
      open,
      sort: { column: "began num", down: false },
      columns: [
        { name: "label", title: "Task", opens: true, ranks: () => textRanks(attempts.count, (i) => model.label(attempts.task[i])), cell: (i) => model.label(attempts.task[i]) },
        { name: "tries num", title: "Attempt", rank: (i) => attempts.number[i], cell: (i) => String(attempts.number[i]) },
        { name: "ended", title: "Outcome", rank: (i) => "fiyr".indexOf(attempts.outcome[i]), cell: (i) => el("span", { class: "outcome-word" }, mark(attempts.outcome[i]), el("span", { text: ATTEMPT_OUTCOMES[attempts.outcome[i]] })) },
        { name: "began num", title: "Began", rank: (i) => attempts.start[i], cell: (i) => duration(attempts.start[i]) },
        { name: "time num", title: "Time", downFirst: true, rank: (i) => attemptTime(model, i), cell: (i) => duration(attemptTime(model, i)) },
      ],
    });
  };
  box.addEventListener("toggle", update);
  update();
  return { box, update };
}
