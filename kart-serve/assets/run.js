/** What the service says to a GET; an error has its `status`. */
async function ask(path, options) {
  const answer = await fetch(path, options);
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  throw Object.assign(new Error(told.error ?? `the service answered ${answer.status}`), { status: answer.status });
}

const askJson = async (path) => (await ask(path)).json();

/** More tasks than these are drawn less often. */
const MANY_TASKS = 20000;

/**
 * One run as it is known here: its graph, which is asked for once, and what becomes of its tasks, which is told as it
 * happens. Where more has happened than is told at once, the rest is asked for.
 */
function createRun(id, { drawn, redrawn }) {
  let model = null;
  let next = 0;
  let pulling = false;
  let isBehind = false;
  let isGone = false;
  let timer = 0;
  let known = { state: "open", elapsed: 0, at: performance.now() };

  const isLive = () => known.state === "running" || known.state === "stopping";
  const pace = () => (model?.count > MANY_TASKS ? 900 : 250);

  /** Seconds since the run began. */
  function elapsed() {
    return isLive() ? known.elapsed + (performance.now() - known.at) / 1000 : known.elapsed;
  }

  async function load() {
    const [graph, changes] = await Promise.all([askJson(`runs/${id}/graph`), askJson(`runs/${id}/changes`)]);
    if (isGone) return;
    graph.tasks.outcome = [];
    const data = { ...graph, attempts: [], errors: [], live: isLive(), state: known.state, elapsed: elapsed() };
    take(data, changes);
    nameOutcomes();
    model = buildModel(data);
    drawn(model);
  }

  /** Asks for what is missing, one request at a time. */
  async function pull() {
    isBehind = true;
    if (pulling) return;
    pulling = true;
    let pause = 500;
    while (isBehind && !isGone) {
      isBehind = false;
      try {
        if (model) take(model.data, await askJson(`runs/${id}/changes?since=${next}`));
        else await load();
        if (!isGone && grown()) await load();
      } catch (error) {
        // The graph of a run is known a moment after its begin.
        isBehind = error.status === 503;
        pause = 300;
      }
      schedule();
      await new Promise((resolve) => { setTimeout(resolve, pause); });
    }
    pulling = false;
  }

  const grown = () => model && model.data.total > model.count;

  function take(data, changes) {
    const { outcome } = data.tasks;
    if (changes.outcome !== undefined) {
      data.tasks.outcome = [...changes.outcome];
      data.attempts = [];
      data.errors = [];
    }
    for (const [task, letter] of changes.outcomes) outcome[task] = letter;
    for (const [place, row] of changes.attempts) data.attempts[place] = row;
    for (const [place, text] of Object.entries(changes.errors)) data.errors[place] = text;
    data.total = changes.tasks;
    for (let task = data.tasks.outcome.length; task < data.tasks.key.length; task += 1) data.tasks.outcome.push("l");
    next = changes.next;
  }

  function nameOutcomes() {
    OUTCOMES.l.name = isLive() ? "waiting" : "left";
  }

  function schedule() {
    if (!model) return;
    timer ||= setTimeout(() => {
      timer = 0;
      if (!isGone) redraw();
    }, pace());
  }

  function redraw() {
    model.data.live = isLive();
    model.data.state = known.state;
    model.now = elapsed();
    nameOutcomes();
    refreshModel(model);
    redrawn(model);
  }

  // What is under way goes on also where nothing is told.
  const clock = setInterval(() => { if (isLive() && !document.hidden) schedule(); }, 1000);

  return {
    id,
    get model() { return model; },
    elapsed,
    isLive,
    load: pull,
    /** The newest that is known of the run as a whole. */
    tell({ state, elapsed_seconds: seconds, start, end }) {
      const took = seconds ?? (end ? (Date.parse(end) - Date.parse(start)) / 1000 : 0);
      const hasEnded = isLive() && state !== known.state;
      known = { state, elapsed: took, at: performance.now() };
      if (hasEnded) pull();
    },
    /** What has changed. */
    change(changes) {
      if (!model || changes.next <= next) return;
      if (changes.outcomes && changes.since === next) {
        take(model.data, changes);
        if (grown()) pull();
        schedule();
      } else pull();
    },
    /** Another process may know another graph of it. */
    again() {
      model = null;
      pull();
    },
    leave() {
      isGone = true;
      clearInterval(clock);
    },
  };
}
