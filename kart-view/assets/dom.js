const SVG = "http://www.w3.org/2000/svg";

const OUTCOMES = {
  c: { name: "complete before", count: "complete" },
  r: { name: "ran", count: "ran" },
  p: { name: "running", count: "running" },
  f: { name: "failed", count: "failed" },
  b: { name: "blocked", count: "blocked" },
  i: { name: "interrupted", count: "interrupted" },
  l: { name: "left", count: "left" },
  e: { name: "made elsewhere", count: "elsewhere" },
  u: { name: "unneeded", count: "unneeded" },
};
const OUTCOME_ORDER = ["c", "r", "p", "f", "b", "i", "l", "e", "u"];
const URGENCY = { f: 0, p: 1, i: 2, b: 3, l: 4, r: 5, e: 6, c: 7, u: 8 };
const ATTEMPT_OUTCOMES = { r: "ran", p: "running", y: "failed, tried again", f: "failed", i: "interrupted" };

/** Makes an element. `text` and attributes are plain values: no markup is ever parsed. */
function el(tag, options = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") node.className = value;
    else if (name === "text") node.textContent = value;
    else if (name === "on") for (const [event, f] of Object.entries(value)) node.addEventListener(event, f);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function button(text, action, options = {}) {
  return el("button", { type: "button", text, on: { click: action }, ...options });
}

/** The shape that stands for an outcome; `name` where no word stands beside it. */
function mark(letter, name) {
  const shape = svg("svg", { class: `mark o-${letter}`, viewBox: "0 0 16 16", focusable: "false" });
  if (name) {
    shape.setAttribute("role", "img");
    shape.setAttribute("aria-label", name);
  } else shape.setAttribute("aria-hidden", "true");
  shape.append(svg("use", { href: `#mark-${letter}` }));
  return shape;
}

function outcomeMark(letter) {
  return mark(letter, OUTCOMES[letter].name);
}

/** A bar of one part for each outcome; `counts` maps letters to numbers. */
function stackParts(counts) {
  return OUTCOME_ORDER.filter((letter) => counts[letter] > 0).map((letter) => {
    const part = el("span", { class: `part o-${letter}` });
    part.style.flexGrow = counts[letter];
    return part;
  });
}

function countWords(counts) {
  return OUTCOME_ORDER.filter((letter) => counts[letter] > 0)
    .map((letter) => `${number(counts[letter])} ${OUTCOMES[letter].name}`)
    .join(", ");
}

function clip(text, length = 240) {
  if (text.length <= length) return text;
  const end = /[\uD800-\uDBFF]/.test(text[length - 1]) ? length - 1 : length;
  return `${text.slice(0, end)}…`;
}

function oneLine(text, length) {
  return clip(text.slice(0, 4 * (length ?? 240)).replace(/\s+/g, " "), length);
}

const grouped = new Intl.NumberFormat("en-US");

function number(value) {
  return grouped.format(value);
}

function plural(count, one, many = `${one}s`) {
  return `${number(count)} ${count === 1 ? one : many}`;
}

const two = (value) => String(value).padStart(2, "0");

function duration(seconds) {
  if (seconds < 0) return `−${duration(-seconds)}`;
  if (seconds === 0) return "0 s";
  if (seconds < 0.01) return `${(seconds * 1000).toFixed(1)} ms`;
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.995) return `${seconds.toFixed(2)} s`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
  const hours = Math.round(seconds / 3600);
  return `${Math.floor(hours / 24)} d ${two(hours % 24)} h`;
}

function bytes(count) {
  if (count < 1000) return `${count} B`;
  const units = ["kB", "MB", "GB", "TB", "PB"];
  let value = count / 1000;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

function copyText(text, source) {
  if (navigator.clipboard && window.isSecureContext) {
    return navigator.clipboard.writeText(text).catch(() => copySelection(source));
  }
  return Promise.resolve(copySelection(source));
}

function copySelection(source) {
  const selection = window.getSelection();
  selection.selectAllChildren(source);
  if (!document.execCommand("copy")) throw new Error("copying is not allowed here");
}

/** A command to be copied. */
function command(text, label) {
  const code = el("code", { text });
  const copy = button("Copy", async () => {
    const copied = await copyText(text, code).then(() => true, () => false);
    copy.textContent = copied ? "Copied" : "Select it and copy";
    setTimeout(() => { copy.textContent = "Copy"; }, 2000);
  }, { class: "quiet", "aria-label": label, "aria-live": "polite" });
  return el("div", { class: "command" }, code, copy);
}

/** A list that shows the first items and, when asked, more of them. `update` takes in that there are more by now. */
function growingList(list, count, item, first, step) {
  let shown = 0;
  const more = button("", () => {
    const next = list.children[grow(step)];
    next?.querySelector("button, summary")?.focus();
  }, { class: "quiet more" });
  const grow = (by) => {
    const from = shown;
    shown = Math.min(count, shown + by);
    for (let i = from; i < shown; i += 1) list.append(item(i));
    more.hidden = shown === count;
    more.textContent = `Show more (${number(count - shown)} left)`;
    return from;
  };
  grow(first);
  return Object.assign([list, more], {
    update(now) {
      count = now;
      grow(Math.max(0, first - shown));
    },
  });
}

/** Draws anew what is in a host; the focus goes to the new element that has the same `data-focus`. */
function keepFocus(host, redraw) {
  const { activeElement } = document;
  const selector = host.contains(activeElement) && activeElement.dataset.focus !== undefined
    ? `[data-focus="${CSS.escape(activeElement.dataset.focus)}"]` : null;
  redraw();
  if (selector && !activeElement.isConnected) host.querySelector(selector)?.focus({ preventScroll: true });
}
