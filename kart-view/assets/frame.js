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

/** The search and the chips, of which those of `outcomes` are pressed: which tasks are left is told to the views. */
function wireFilter(model, views, outcomes = new Set()) {
  const matching = createFilter(model);
  const query = part("query");
  const chips = OUTCOME_ORDER.map((letter) => {
    const chip = el("button", { type: "button", class: `chip o-${letter}`, "aria-pressed": String(outcomes.has(letter)), "data-outcome": letter },
      mark(letter), el("b"), el("span"));
    chip.addEventListener("click", () => {
      if (!outcomes.delete(letter)) outcomes.add(letter);
      chip.setAttribute("aria-pressed", String(outcomes.has(letter)));
      apply();
    });
    return chip;
  });

  function apply() {
    const active = query.value.trim() !== "" || outcomes.size > 0;
    const mask = active ? matching(query.value, outcomes) : null;
    tell(mask);
    part("reset").hidden = !active;
    for (const view of views) view.filter?.(mask);
  }

  function tell(mask) {
    const left = mask ? mask.reduce((sum, on) => sum + on, 0) : model.count;
    const text = mask ? `${number(left)} of ${plural(model.count, "task")}` : plural(model.count, "task");
    if (part("matches").textContent !== text) part("matches").textContent = text;
  }

  function update() {
    const kept = chips.filter(({ dataset: { outcome } }) =>
      model.counts[outcome] > 0 || outcomes.has(outcome) || (outcome === "f" && model.data.state !== "planned"));
    if (kept.length !== part("chips").childElementCount || kept.some((chip) => !chip.isConnected)) part("chips").replaceChildren(...kept);
    for (const chip of kept) {
      const letter = chip.dataset.outcome;
      const count = model.counts[letter] ?? 0;
      chip.disabled = count === 0 && !outcomes.has(letter);
      chip.children[1].textContent = number(count);
      chip.children[2].textContent = ` ${OUTCOMES[letter].name}`;
    }
    if (outcomes.size) apply();
  }

  const search = (text) => {
    query.value = text;
    outcomes.clear();
    for (const chip of chips) chip.setAttribute("aria-pressed", "false");
    apply();
  };
  query.oninput = afterPause(apply, model.count > 50000 ? 80 : 15);
  part("reset").onclick = () => {
    search("");
    query.focus();
  };
  update();
  apply();
  return {
    update,
    search(text) {
      search(text);
      part("tasks").scrollIntoView();
      query.focus({ preventScroll: true });
    },
  };
}

function wireSlash() {
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.closest("input, textarea")) return;
    event.preventDefault();
    part("query").focus();
  });
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
  const links = shown.map((section) =>
    el("a", { href: `#${section.id}`, "data-focus": section.id, text: section.querySelector("h2").textContent }));
  const { children } = part("jumps");
  const isSame = links.length === children.length && links.every((link, i) => link.isEqualNode(children[i]));
  if (!isSame) keepFocus(part("jumps"), () => part("jumps").replaceChildren(...links));
  part("jumps").hidden = false;
}

function show(id, draw) {
  part(id).hidden = false;
  if (draw(part(id)) === false) part(id).hidden = true;
}
