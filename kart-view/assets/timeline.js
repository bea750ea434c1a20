const GUTTER = 34;
const AXIS = 24;
const ATTEMPT_MARKS = { y: "↻", f: "✕", i: "‖" };
const TICKS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800];

function tickStep(least) {
  if (least >= 1) return TICKS.find((step) => step >= least) ?? Math.ceil(least / 604800) * 604800;
  const unit = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((step) => step * unit).find((step) => step >= least * 0.9999);
}

function tickText(seconds, step) {
  if (seconds === 0) return "0";
  if (step < 0.001) return `${Number((seconds * 1e6).toFixed(0))} µs`;
  if (step < 1 && seconds < 1) return `${Number((seconds * 1000).toFixed(0))} ms`;
  if (step < 1) return `${Number(seconds.toFixed(3))} s`;
  if (seconds < 60) return `${seconds} s`;
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  const rest = Math.round(seconds % 60);
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

function createTimeline(model, host, { open }) {
  let attempts, lane, lanes, whole, laneHeight, height, critical, longest;
  let from = 0;
  let to = 0;
  let width = 0;
  let mask = null;
  let selected = -1;
  let current = -1;
  let pending = 0;
  let inks;

  const canvas = el("canvas", {
    tabindex: "0", role: "application",
  });
  const table = attemptsTable(model, open);
  const tip = el("div", { class: "tip", role: "status", hidden: true });
  const scroller = el("div", { class: "timeline-view" }, canvas);
  host.append(
    el("div", { class: "tools" }, legend(), zoomButtons(() => zoomBy(0.5), () => zoomBy(2), () => show(0, whole), "timeline")),
    el("div", { class: "timeline-frame" }, scroller, tip),
    table.box);
  const draw2d = canvas.getContext("2d");

  const xOf = (time) => GUTTER + ((time - from) / (to - from)) * (width - GUTTER);
  const timeOf = (x) => from + ((x - GUTTER) / (width - GUTTER)) * (to - from);

  /** Takes in what attempts there are. Who looks at the whole goes on to see the whole. */
  function arrange() {
    const isWhole = to === (whole ?? 0);
    ({ attempts } = model);
    ({ lane, lanes } = assignLanes(attempts));
    whole = Math.max(model.now, attempts.end.reduce((a, b) => Math.max(a, b), 0)) || 1;
    laneHeight = Math.min(24, Math.max(6, Math.floor(420 / Math.max(1, lanes.length))));
    height = lanes.length * laneHeight + AXIS;
    critical = new Set(model.critical.tasks.map((task) => model.last[task]));
    longest = lanes.map((list) => list.reduce((max, i) => Math.max(max, attemptTime(model, i)), 0));
    if (isWhole) [from, to] = [0, whole];
    canvas.setAttribute("aria-label", `${plural(attempts.count, "attempt")} in ${plural(lanes.length, "lane")}. Left and right arrows move between attempts, up and down between lanes, Enter opens the task. The same is in the table of attempts.`);
  }

  function show(start, end) {
    const span = Math.min(whole, Math.max(whole / 1e5, end - start));
    from = Math.min(Math.max(0, start), whole - span);
    to = from + span;
    redraw();
  }

  function zoomBy(factor, around = (from + to) / 2) {
    show(around - (around - from) * factor, around + (to - around) * factor);
  }

  function redraw() {
    pending ||= requestAnimationFrame(() => {
      pending = 0;
      draw();
    });
  }

  function resize() {
    width = scroller.clientWidth;
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    canvas.style.cssText = `width:${width}px;height:${height}px`;
    draw2d.setTransform(scale, 0, 0, scale, 0, 0);
    draw();
  }

  function draw() {
    if (!width) return;
    inks ??= readInks(host);
    draw2d.clearRect(0, 0, width, height);
    drawAxis();
    draw2d.save();
    draw2d.beginPath();
    draw2d.rect(GUTTER, 0, width - GUTTER, height);
    draw2d.clip();
    lanes.forEach(drawLane);
    draw2d.restore();
    if (current >= 0) frame(current, inks.accent, 2, -1);
  }

  function drawAxis() {
    const step = tickStep(((to - from) * 78) / Math.max(80, width - GUTTER));
    draw2d.font = inks.font;
    draw2d.textBaseline = "middle";
    draw2d.fillStyle = inks.muted;
    draw2d.strokeStyle = inks.line;
    draw2d.lineWidth = 1;
    for (let place = Math.ceil(from / step - 1e-9); place * step <= to; place += 1) {
      const x = Math.round(xOf(place * step)) + 0.5;
      draw2d.beginPath();
      draw2d.moveTo(x, AXIS - 5);
      draw2d.lineTo(x, height);
      draw2d.stroke();
      const text = tickText(place * step, step);
      if (x + draw2d.measureText(text).width + 4 < width) draw2d.fillText(text, x + 3, AXIS / 2 - 2);
    }
    const every = Math.max(1, Math.ceil(14 / laneHeight));
    draw2d.textAlign = "right";
    for (let i = 0; i < lanes.length; i += every) draw2d.fillText(String(i + 1), GUTTER - 8, AXIS + (i + 0.5) * laneHeight);
    draw2d.textAlign = "left";
  }

  function firstVisible(place) {
    const list = lanes[place];
    const edge = from - longest[place];
    let low = 0;
    let high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (attempts.start[list[middle]] < edge) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Attempts too narrow to be told apart share a pixel; those that did not end well are drawn over the others. */
  function drawLane(list, place) {
    const urgent = [];
    let painted = -1;
    for (let i = firstVisible(place); i < list.length && attempts.start[list[i]] <= to; i += 1) {
      const attempt = list[i];
      if (attempts.end[attempt] < from) continue;
      if (attempts.outcome[attempt] !== "r" || critical.has(attempt) || model.attempts.task[attempt] === selected) {
        urgent.push(attempt);
        continue;
      }
      const end = xOf(attempts.end[attempt]);
      if (end < painted + 0.5) continue;
      painted = Math.max(end, xOf(attempts.start[attempt]) + 1);
      drawBar(attempt);
    }
    urgent.forEach(drawBar);
  }

  function barOf(attempt) {
    const x = xOf(attempts.start[attempt]);
    const gap = laneHeight > 12 ? 2 : 1;
    return { x, y: AXIS + lane[attempt] * laneHeight + gap / 2, w: Math.max(1.5, xOf(attempts.end[attempt]) - x), h: laneHeight - gap };
  }

  function drawBar(attempt) {
    const { x, y, w, h } = barOf(attempt);
    const left = Math.max(x, GUTTER - 4);
    const wide = Math.min(x + w, width + 4) - left;
    const outcome = attempts.outcome[attempt];
    const dim = mask && !mask[attempts.task[attempt]];
    draw2d.globalAlpha = dim ? 0.2 : 1;
    draw2d.fillStyle = wide < 4 ? inks[outcome] : inks.tint[outcome];
    draw2d.fillRect(left, y, wide, h);
    if (wide >= 4) {
      if (inks.hatch[outcome]) {
        draw2d.fillStyle = inks.hatch[outcome];
        draw2d.fillRect(left, y, wide, h);
      }
      draw2d.strokeStyle = inks[outcome];
      draw2d.lineWidth = 1;
      draw2d.strokeRect(left + 0.5, y + 0.5, wide - 1, h - 1);
    }
    if (wide > 16 && h > 11) drawLabel(attempt, left, y, wide, h);
    if (critical.has(attempt)) frame(attempt, inks.text, 1.5, 0.75);
    if (attempts.task[attempt] === selected) frame(attempt, inks.accent, 3, 0);
    draw2d.globalAlpha = 1;
  }

  function drawLabel(attempt, x, y, w, h) {
    const sign = ATTEMPT_MARKS[attempts.outcome[attempt]];
    const room = Math.floor((w - 8) / inks.letter);
    const label = room > 4 ? model.label(attempts.task[attempt]) : "";
    const text = [sign, label.slice(0, 200)].filter(Boolean).join(" ");
    if (!text) return;
    draw2d.save();
    draw2d.beginPath();
    draw2d.rect(x, y, w - 3, h);
    draw2d.clip();
    draw2d.font = inks.font;
    if (sign) {
      draw2d.fillStyle = inks.surface;
      draw2d.fillRect(x + 2, y + 2, draw2d.measureText(oneLine(text, room)).width + 5, h - 4);
    }
    draw2d.fillStyle = sign ? inks[attempts.outcome[attempt]] : inks.text;
    draw2d.fillText(oneLine(text, room), x + 4, y + h / 2 + 0.5);
    draw2d.restore();
  }

  function frame(attempt, colour, line, inset) {
    const { x, y, w, h } = barOf(attempt);
    draw2d.strokeStyle = colour;
    draw2d.lineWidth = line;
    draw2d.strokeRect(x + inset, y + inset, Math.max(1, w - 2 * inset), h - 2 * inset);
  }

  function attemptAt(event) {
    const box = canvas.getBoundingClientRect();
    const x = event.clientX - box.left;
    const place = Math.floor((event.clientY - box.top - AXIS) / laneHeight);
    if (!lanes[place] || x < GUTTER) return -1;
    const time = timeOf(x);
    const slack = timeOf(x + 4) - time;
    let found = -1;
    let least = slack;
    for (let i = firstVisible(place); i < lanes[place].length; i += 1) {
      const attempt = lanes[place][i];
      if (attempts.start[attempt] > time + slack) break;
      const away = Math.max(0, attempts.start[attempt] - time, time - attempts.end[attempt]);
      if (away < least || (away === 0 && least === 0)) {
        found = attempt;
        least = away;
      }
    }
    return found;
  }

  function point(attempt) {
    if (attempt === current) return;
    current = attempt;
    tip.hidden = attempt < 0;
    redraw();
    if (attempt < 0) return;
    const outcome = attempts.outcome[attempt];
    tip.replaceChildren(
      el("bdi", { class: "tip-label", text: clip(model.label(attempts.task[attempt]), 160) }),
      el("span", {}, mark(outcome), ` attempt ${attempts.number[attempt]}: ${ATTEMPT_OUTCOMES[outcome]}`),
      el("span", { text: `from ${duration(attempts.start[attempt])}, took ${duration(attemptTime(model, attempt))}` }));
    const { x, y, w, h } = barOf(attempt);
    const middle = Math.min(width, Math.max(GUTTER, x + w / 2));
    tip.style.left = `${Math.max(0, Math.min(width - tip.offsetWidth, middle - tip.offsetWidth / 2))}px`;
    const top = y + h + 6 - scroller.scrollTop;
    tip.style.top = `${top}px`;
  }

  function openAttempt(attempt) {
    if (attempt >= 0) open(attempts.task[attempt], canvas);
  }

  function moveBy(key) {
    const first = lanes[0]?.[0] ?? -1;
    if (current < 0) return first;
    const list = lanes[lane[current]];
    const place = list.indexOf(current);
    if (key === "ArrowLeft") return list[Math.max(0, place - 1)];
    if (key === "ArrowRight") return list[Math.min(list.length - 1, place + 1)];
    const other = lanes[lane[current] + (key === "ArrowUp" ? -1 : 1)];
    if (!other) return current;
    return other.findLast((i) => attempts.start[i] <= attempts.start[current]) ?? other[0];
  }

  function reveal(attempt) {
    if (attempts.end[attempt] < from || attempts.start[attempt] > to) {
      const middle = attempts.start[attempt];
      show(middle - (to - from) / 2, middle + (to - from) / 2);
    }
    const top = AXIS + lane[attempt] * laneHeight;
    if (top < scroller.scrollTop) scroller.scrollTop = top - AXIS;
    else if (top + laneHeight > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top - scroller.clientHeight + 2 * laneHeight;
  }

  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Enter") openAttempt(current);
    else if (event.key === "Escape") point(-1);
    else if (event.key === "+" || event.key === "=") zoomBy(0.5);
    else if (event.key === "-") zoomBy(2);
    else if (event.key.startsWith("Arrow")) {
      const next = moveBy(event.key);
      if (next >= 0) reveal(next);
      point(next);
    } else return;
    event.preventDefault();
  });
  canvas.addEventListener("wheel", (event) => {
    const along = event.deltaX || (event.shiftKey ? event.deltaY : 0);
    if (!event.ctrlKey && !along) return;
    event.preventDefault();
    if (event.ctrlKey) zoomBy(Math.exp(event.deltaY / 300), timeOf(event.clientX - canvas.getBoundingClientRect().left));
    else show(from + (along / width) * (to - from), to + (along / width) * (to - from));
  }, { passive: false });
  onDragOrTap(canvas, {
    over: (event) => point(attemptAt(event)),
    tap: (event) => {
      const attempt = attemptAt(event);
      if (event.pointerType !== "touch" || attempt === current) openAttempt(attempt);
      point(attempt);
    },
    drag: (right) => show(from - (right / width) * (to - from), to - (right / width) * (to - from)),
  });
  canvas.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") point(-1); });
  canvas.addEventListener("blur", () => point(-1));
  scroller.addEventListener("scroll", () => point(-1));
  new ResizeObserver(() => { if (scroller.clientWidth !== width) resize(); }).observe(scroller);
  arrange();
  resize();

  return {
    update() {
      const before = height;
      arrange();
      if (height === before) redraw();
      else resize();
      table.update();
    },
    filter(next) { mask = next; redraw(); },
    select(task) { selected = task; redraw(); },
    restyle() { inks = null; redraw(); },
  };
}

function legend() {
  const entry = (letter) => el("span", { class: "legend-entry" }, el("i", { class: `swatch a-${letter}` }), ATTEMPT_OUTCOMES[letter]);
  return el("p", { class: "hint legend" }, ...["r", "p", "y", "f", "i"].map(entry),
    el("span", { class: "legend-entry" }, el("i", { class: "swatch on-path" }), "critical path"));
}
