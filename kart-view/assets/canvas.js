function onDragOrTap(canvas, { over, tap, drag }) {
  let down = null;
  canvas.addEventListener("pointerdown", (event) => {
    down = { x: event.clientX, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!down) return over(event);
    if (!down.moved && Math.abs(event.clientX - down.x) < 4) return undefined;
    down.moved = true;
    drag(event.clientX - down.x);
    down.x = event.clientX;
    return undefined;
  });
  canvas.addEventListener("pointerup", (event) => {
    if (down && !down.moved) tap(event);
    down = null;
  });
  canvas.addEventListener("pointercancel", () => { down = null; });
}

/** The colours of the page, as a canvas can use them. */
function readInks(host) {
  const probe = el("span", { class: "mono" });
  host.append(probe);
  const read = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const inks = { tint: {}, hatch: {} };
  for (const name of ["text", "muted", "line", "surface", "accent"]) inks[name] = read(name);
  for (const letter of ["r", "p", "y", "f", "i"]) {
    inks[letter] = read(letter);
    inks.tint[letter] = read(`tint-${letter}`);
  }
  inks.hatch = { y: hatch(inks.y, false), f: hatch(inks.f, true), i: hatch(inks.i, false) };
  inks.font = `11px ${getComputedStyle(probe).fontFamily}`;
  probe.remove();
  const measure = document.createElement("canvas").getContext("2d");
  measure.font = inks.font;
  inks.letter = measure.measureText("m").width || 7;
  return inks;
}

function hatch(colour, crossed) {
  const tile = el("canvas", { width: 6, height: 6 });
  const draw = tile.getContext("2d");
  draw.strokeStyle = colour;
  draw.globalAlpha = 0.6;
  draw.beginPath();
  for (const shift of [-6, 0, 6]) {
    draw.moveTo(shift, 6);
    draw.lineTo(shift + 6, 0);
    if (!crossed) continue;
    draw.moveTo(shift, 0);
    draw.lineTo(shift + 6, 6);
  }
  draw.stroke();
  return draw.createPattern(tile, "repeat");
}
