/** Rows of numbers of different lengths, one after another in one array. */
function packRows(rows) {
  const offsets = new Uint32Array(rows.length + 1);
  for (let i = 0; i < rows.length; i += 1) offsets[i + 1] = offsets[i] + rows[i].length;
  const items = new Uint32Array(offsets[rows.length]);
  for (let i = 0; i < rows.length; i += 1) items.set(rows[i], offsets[i]);
  return { offsets, items };
}

/** The rows the other way round: for each of `count` values, the places of the rows that hold it. */
function reversedRows({ offsets, items }, count) {
  const starts = new Uint32Array(count + 1);
  for (const item of items) starts[item + 1] += 1;
  for (let i = 0; i < count; i += 1) starts[i + 1] += starts[i];
  const next = starts.slice();
  const places = new Uint32Array(items.length);
  for (let row = 0; row + 1 < offsets.length; row += 1) {
    for (let i = offsets[row]; i < offsets[row + 1]; i += 1) places[next[items[i]]++] = row;
  }
  return { offsets: starts, items: places };
}

function rowOf({ offsets, items }, place) {
  return items.subarray(offsets[place], offsets[place + 1]);
}

function buildModel(data) {
  const { tasks } = data;
  const count = tasks.key.length;
  const requires = packRows(tasks.requires);
  const model = {
    data,
    count,
    family: Uint32Array.from(tasks.family),
    requires,
    consumers: reversedRows(requires, count),
    now: data.elapsed ?? 0,
    label: (task) => tasks.label[task],
    key: (task) => tasks.key[task],
    path: (task) => tasks.path[task].replaceAll("{key}", tasks.key[task]),
    outcome: (task) => tasks.outcome[task],
    familyName: (task) => data.families[tasks.family[task]].name,
    rerun: (task) => data.rerun?.[task],
    error: (attempt) => (attempt < 0 ? undefined : data.errors?.[model.attempts.error[attempt]]),
  };
  model.members = tasksByFamily(model);
  refreshModel(model);
  return model;
}

/** Finds anew what follows from outcomes and attempts. */
function refreshModel(model) {
  model.attempts = buildAttempts(model.data.attempts ?? [], model.now);
  model.attemptsOf = attemptsByTask(model.attempts, model.count);
  model.last = lastAttempts(model);
  model.familyStats = familyStats(model);
  model.counts = {};
  for (const { outcomes } of model.familyStats) {
    for (const letter in outcomes) model.counts[letter] = (model.counts[letter] ?? 0) + outcomes[letter];
  }
  // What is last of all is known at the end.
  model.critical = model.data.live ? { tasks: [], fromRoot: false } : criticalPath(model);
}

function tasksByFamily(model) {
  const rows = Array.from({ length: model.data.families.length }, () => []);
  for (let task = 0; task < model.count; task += 1) rows[model.family[task]].push(task);
  return rows;
}

function buildAttempts(rows, now) {
  const count = rows.length;
  const attempts = {
    count,
    task: new Uint32Array(count),
    number: new Uint32Array(count),
    start: new Float64Array(count),
    end: new Float64Array(count),
    bytes: new Float64Array(count),
    error: new Int32Array(count),
    outcome: new Array(count),
  };
  rows.forEach(([task, place, start, end, outcome, size, error], i) => {
    attempts.task[i] = task;
    attempts.number[i] = place;
    attempts.start[i] = start;
    attempts.end[i] = Math.max(start, end ?? now);
    attempts.outcome[i] = outcome;
    attempts.bytes[i] = size;
    attempts.error[i] = error;
  });
  return attempts;
}

function attemptsByTask(attempts, count) {
  const one = { offsets: Uint32Array.from({ length: attempts.count + 1 }, (_, i) => i), items: attempts.task };
  const rows = reversedRows(one, count);
  for (let task = 0; task < count; task += 1) {
    const row = rowOf(rows, task);
    if (row.length > 1) row.sort((a, b) => attempts.number[a] - attempts.number[b]);
  }
  return rows;
}

function lastAttempts({ attemptsOf, count }) {
  const last = new Int32Array(count).fill(-1);
  for (let task = 0; task < count; task += 1) {
    const end = attemptsOf.offsets[task + 1];
    if (end > attemptsOf.offsets[task]) last[task] = attemptsOf.items[end - 1];
  }
  return last;
}

function attemptTime({ attempts }, attempt) {
  return attempt < 0 ? -1 : attempts.end[attempt] - attempts.start[attempt];
}

function familyStats(model) {
  const { data, attempts } = model;
  const stats = data.families.map(() => ({ count: 0, outcomes: {}, times: [], bytes: 0 }));
  for (let task = 0; task < model.count; task += 1) {
    const of = stats[model.family[task]];
    const outcome = model.outcome(task);
    of.count += 1;
    of.outcomes[outcome] = (of.outcomes[outcome] ?? 0) + 1;
  }
  for (let i = 0; i < attempts.count; i += 1) {
    const of = stats[model.family[attempts.task[i]]];
    of.times.push(attempts.end[i] - attempts.start[i]);
    of.bytes += attempts.bytes[i];
  }
  for (const of of stats) Object.assign(of, summarise(of.times));
  return stats;
}

function summarise(times) {
  const sorted = Float64Array.from(times).sort();
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return {
    total: sorted.reduce((sum, time) => sum + time, 0),
    median: sorted.length ? median : 0,
    max: sorted.length ? sorted[sorted.length - 1] : 0,
  };
}

/** From the last of the roots that ran (or of all tasks) back, always to the requirement that ended last. */
function criticalPath(model) {
  const { attempts, last, requires } = model;
  const latest = (tasks) => {
    let found = -1;
    for (const task of tasks) {
      if (last[task] < 0) continue;
      if (found < 0 || attempts.end[last[task]] > attempts.end[last[found]]) found = task;
    }
    return found;
  };
  const fromRoot = latest(model.data.roots);
  const path = [];
  let task = fromRoot >= 0 ? fromRoot : latest(attempts.task);
  while (task >= 0) {
    path.push(task);
    task = latest(rowOf(requires, task));
  }
  return { tasks: path.reverse(), fromRoot: fromRoot >= 0 };
}

/** How many tasks are blocked behind a failed one. */
function blockedBehind(model, failed) {
  const seen = new Set([failed]);
  const queue = [failed];
  while (queue.length) {
    for (const task of rowOf(model.consumers, queue.pop())) {
      if (seen.has(task) || model.outcome(task) !== "b") continue;
      seen.add(task);
      queue.push(task);
    }
  }
  return seen.size - 1;
}

/** How much of an attempt, and how many seconds at most, may lie below the next one of its lane: what publishes its output works no more. */
const OVERLAP = 0.03;
const MOST_OVERLAP = 0.25;

/** The lowest lane that is free when an attempt starts, or nearly. */
function assignLanes({ start, end, count }) {
  const order = Uint32Array.from({ length: count }, (_, i) => i).sort((a, b) => start[a] - start[b] || a - b);
  const freeAt = [];
  const lanes = [];
  const lane = new Uint32Array(count);
  for (const attempt of order) {
    let place = 0;
    while (place < freeAt.length && freeAt[place] > start[attempt] + 1e-6) place += 1;
    freeAt[place] = end[attempt] - Math.min(MOST_OVERLAP, OVERLAP * (end[attempt] - start[attempt]));
    lane[attempt] = place;
    (lanes[place] ??= []).push(attempt);
  }
  return { lane, lanes };
}

/** Which tasks a search and a set of outcomes leave: 1 for those that stay. */
function createFilter(model) {
  let texts;
  const textOf = (task) =>
    [model.label(task), model.familyName(task), model.key(task), model.path(task)].join("\n").toLowerCase();
  return (query, outcomes) => {
    const phrase = query.trim().toLowerCase();
    const mask = new Uint8Array(model.count).fill(1);
    if (outcomes.size) {
      for (let task = 0; task < model.count; task += 1) mask[task] = outcomes.has(model.outcome(task)) ? 1 : 0;
    }
    if (!phrase) return mask;
    texts ??= Array.from({ length: model.count }, (_, task) => textOf(task));
    const words = phrase.split(/\s+/);
    const having = (parts) => mask.map((kept, task) => (kept && parts.every((part) => texts[task].includes(part)) ? 1 : 0));
    const whole = having([phrase]);
    return words.length > 1 && !whole.includes(1) ? having(words) : whole;
  };
}
