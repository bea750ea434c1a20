const NODE_WIDTH = 208;
const LAYER_GAP = 76;
const NODE_GAP = 18;
const MAX_STAND_INS = 1500;

/**
 * Places boxes in layers, what is required to the left of what requires it.
 * `heights` has one number for each box; `edges` are pairs [from, to] of places, self edges left out.
 * Gives each box its corner, and each edge the points where it passes the layers between its ends.
 */
function layOut(heights, edges) {
  const forward = withoutCycles(heights.length, edges);
  const layer = longestPaths(heights.length, forward);
  const nodes = heights.map((height, i) => ({ height, layer: layer[i], before: [], after: [] }));
  const span = forward.reduce((sum, [from, to]) => sum + layer[to] - layer[from] - 1, 0);
  const passing = forward.map(([from, to]) => (span <= MAX_STAND_INS ? linkThrough(nodes, from, to) : link(nodes, from, to)));
  const layers = orderLayers(nodes);
  const height = placeVertically(layers);
  for (const node of nodes) node.x = node.layer * (NODE_WIDTH + LAYER_GAP);
  return {
    boxes: nodes.slice(0, heights.length),
    passing,
    width: layers.length * (NODE_WIDTH + LAYER_GAP) - LAYER_GAP,
    height,
  };
}

/** The edges with those that close a cycle turned round. */
function withoutCycles(count, edges) {
  const outgoing = Array.from({ length: count }, () => []);
  edges.forEach(([from, to], i) => outgoing[from].push([to, i]));
  const state = new Uint8Array(count);
  const turned = new Uint8Array(edges.length);
  for (let root = 0; root < count; root += 1) {
    if (state[root]) continue;
    const stack = [[root, 0]];
    state[root] = 1;
    while (stack.length) {
      const top = stack[stack.length - 1];
      const step = outgoing[top[0]][top[1]++];
      if (!step) {
        state[top[0]] = 2;
        stack.pop();
      } else if (state[step[0]] === 1) turned[step[1]] = 1;
      else if (!state[step[0]]) {
        state[step[0]] = 1;
        stack.push([step[0], 0]);
      }
    }
  }
  return edges.map(([from, to], i) => (turned[i] ? [to, from, true] : [from, to, false]));
}

function longestPaths(count, edges) {
  const outgoing = Array.from({ length: count }, () => []);
  const waiting = new Uint32Array(count);
  for (const [from, to] of edges) {
    outgoing[from].push(to);
    waiting[to] += 1;
  }
  const layer = new Uint32Array(count);
  const queue = [...waiting.keys()].filter((i) => waiting[i] === 0);
  for (let head = 0; head < queue.length; head += 1) {
    for (const to of outgoing[queue[head]]) {
      layer[to] = Math.max(layer[to], layer[queue[head]] + 1);
      waiting[to] -= 1;
      if (waiting[to] === 0) queue.push(to);
    }
  }
  pullTogether(layer, outgoing, queue);
  return layer;
}

/** Moves boxes that require nothing next to what requires them. */
function pullTogether(layer, outgoing, order) {
  const required = new Uint8Array(layer.length);
  for (const targets of outgoing) for (const to of targets) required[to] = 1;
  for (const i of order) {
    if (required[i] || !outgoing[i].length) continue;
    layer[i] = Math.min(...outgoing[i].map((to) => layer[to])) - 1;
  }
}

function link(nodes, from, to) {
  nodes[from].after.push(nodes[to]);
  nodes[to].before.push(nodes[from]);
  return [];
}

/** Links two boxes through a small stand-in in each layer between them. */
function linkThrough(nodes, from, to) {
  const chain = [];
  let previous = nodes[from];
  for (let layer = nodes[from].layer + 1; layer < nodes[to].layer; layer += 1) {
    const standIn = { height: 8, layer, before: [previous], after: [], standIn: true };
    previous.after.push(standIn);
    nodes.push(standIn);
    chain.push(standIn);
    previous = standIn;
  }
  previous.after.push(nodes[to]);
  nodes[to].before.push(previous);
  return chain;
}

/** Orders each layer by the middle of the neighbours, a few times to and fro. */
function orderLayers(nodes) {
  const layers = [];
  for (const node of nodes) (layers[node.layer] ??= []).push(node);
  const number = (layer) => layer.forEach((node, i) => { node.order = i; });
  layers.forEach(number);
  const sortBy = (layer, side) => {
    for (const node of layer) {
      const near = node[side];
      node.weight = near.length ? near.reduce((sum, other) => sum + other.order, 0) / near.length : node.order;
    }
    layer.sort((a, b) => a.weight - b.weight);
    number(layer);
  };
  for (let round = 0; round < 6; round += 1) {
    for (const layer of layers) sortBy(layer, "before");
    for (const layer of [...layers].reverse()) sortBy(layer, "after");
  }
  return layers;
}

const halfOf = (node) => Math.min(node.height, 320) / 2;
const middleOf = (node) => node.y + halfOf(node);
const gapAfter = (node) => (node.standIn ? NODE_GAP / 2 : NODE_GAP);

function placeVertically(layers) {
  for (const layer of layers) {
    let y = 0;
    for (const node of layer) {
      node.y = y;
      y += node.height + gapAfter(node);
    }
    const half = y / 2;
    for (const node of layer) node.y -= half;
  }
  for (let round = 0; round < 8; round += 1) {
    for (const layer of layers) align(layer, "before");
    for (const layer of [...layers].reverse()) align(layer, "after");
  }
  const all = layers.flat();
  const top = Math.min(...all.map((node) => node.y));
  for (const node of all) node.y -= top;
  return Math.max(...all.map((node) => node.y + node.height));
}

/** Moves a layer's boxes towards their neighbours and keeps their order and their distance. */
function align(layer, side) {
  const wanted = layer.map((node) => {
    const near = node[side];
    if (!near.length) return node.y;
    const weights = near.map((other) => (other.standIn ? 0.1 : 1));
    const weight = weights.reduce((sum, each) => sum + each, 0);
    return near.reduce((sum, other, i) => sum + middleOf(other) * weights[i], 0) / weight - halfOf(node);
  });
  layer.forEach((node, i) => {
    const above = layer[i - 1];
    node.y = above ? Math.max(wanted[i], above.y + above.height + gapAfter(above)) : wanted[i];
  });
  const shift = layer.reduce((sum, node, i) => sum + wanted[i] - node.y, 0) / layer.length;
  for (const node of layer) node.y += shift;
}
