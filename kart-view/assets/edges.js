/**
 * The edges as they are drawn: between tasks where both are shown, else to and from the box of the family.
 * An end is {family, task}, with task -1 for the box itself.
 */
function visibleEdges(model, shape, between, expanded) {
  const row = new Map();
  for (const box of shape.boxes) box.shown.forEach((task, i) => row.set(task, i));
  shape.row = row;
  return between.flatMap((edge) => {
    const whole = { a: { family: edge.from, task: -1 }, b: { family: edge.to, task: -1 }, count: edge.count };
    const fine = expanded.has(edge.from) || expanded.has(edge.to) ? taskEdges(model, row, edge) : null;
    const turned = isTurned(shape, edge);
    return (fine ?? [whole]).map((line) => ({ ...line, turned }));
  });
}

function taskEdges(model, row, { from, to }) {
  const found = new Map();
  const { offsets, items } = model.requires;
  for (const task of model.members[to]) {
    for (let i = offsets[task]; i < offsets[task + 1]; i += 1) {
      if (model.family[items[i]] !== from) continue;
      const a = row.has(items[i]) ? items[i] : -1;
      const b = row.has(task) ? task : -1;
      const key = (a + 1) * (model.count + 1) + b + 1;
      const edge = found.get(key);
      if (edge) edge.count += 1;
      else found.set(key, { a: { family: from, task: a }, b: { family: to, task: b }, count: 1 });
      if (found.size > MAX_TASK_EDGES) return null;
    }
  }
  return [...found.values()];
}

function boxAt(shape, family) {
  return shape.boxes[shape.boxOf.get(family)];
}

function isTurned(shape, { from, to }) {
  return from !== to && boxAt(shape, from).x >= boxAt(shape, to).x;
}

function endPoint(shape, { family, task }, side, margin) {
  const box = boxAt(shape, family);
  const within = task >= 0 ? HEAD_HEIGHT + (shape.row.get(task) + 0.5) * ROW_HEIGHT + 1 : HEAD_HEIGHT / 2;
  return { x: box.x + margin + (side === "right" ? NODE_WIDTH : 0), y: box.y + margin + within };
}

function edgePoints(shape, edge, margin) {
  if (edge.a.family === edge.b.family) return loopPoints(shape, edge, margin);
  const [left, right] = edge.turned ? [edge.b, edge.a] : [edge.a, edge.b];
  const start = endPoint(shape, left, "right", margin);
  const end = endPoint(shape, right, "left", margin);
  const stops = (shape.passing.get(`${edge.a.family}>${edge.b.family}`) ?? []).flatMap((standIn) => {
    const y = standIn.y + standIn.height / 2 + margin;
    return [{ x: standIn.x + margin, y }, { x: standIn.x + margin + NODE_WIDTH, y }];
  });
  const points = [start, ...stops, end];
  if (edge.turned) points.reverse();
  return { d: curve(points), ...labelPoint(points) };
}

function curve(points) {
  return points.map(({ x, y }, i) => {
    if (i === 0) return `M${x} ${y}`;
    const middle = (points[i - 1].x + x) / 2;
    return `C${middle} ${points[i - 1].y} ${middle} ${y} ${x} ${y}`;
  }).join("");
}

function labelPoint(points) {
  const [a, b] = points;
  return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 + 4 };
}

/** An edge within one family: a loop on top of its box, or an arc between two of its rows. */
function loopPoints(shape, { a, b }, margin) {
  const start = endPoint(shape, a, "right", margin);
  const end = endPoint(shape, b, "right", margin);
  if (a.task < 0 && b.task < 0) {
    const { x } = start;
    const y = start.y - HEAD_HEIGHT / 2;
    return { d: `M${x - 24} ${y}C${x - 20} ${y - 22} ${x - 64} ${y - 22} ${x - 60} ${y}`, x: x - 6, y: y - 5 };
  }
  const reach = Math.min(64, 14 + Math.abs(end.y - start.y) * 0.2);
  return { d: `M${start.x} ${start.y}C${start.x + reach} ${start.y} ${end.x + reach} ${end.y} ${end.x} ${end.y}`, x: start.x + reach * 0.75 + 6, y: (start.y + end.y) / 2 + 4 };
}
