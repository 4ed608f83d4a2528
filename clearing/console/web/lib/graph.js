// Who waits for whom, laid out on a circle: pure, the same for the same data, so that nothing jumps between updates.

const keyOf = (participant, asset) => `${participant} ${asset}`;

/** Keys that can be reached from each key by its edges. */
function reaches(edges) {
  const next = new Map();
  for (const edge of edges) next.set(edge.from, [...(next.get(edge.from) ?? []), edge.to]);
  const found = new Map();
  for (const start of next.keys()) {
    const seen = new Set();
    const open = [...next.get(start)];
    while (open.length) {
      const key = open.pop();
      if (seen.has(key)) continue;
      seen.add(key);
      open.push(...(next.get(key) ?? []));
    }
    found.set(start, seen);
  }
  return found;
}

/**
 * waits: WaitsOn[] of the API. Returns {nodes: [{key, participant, asset, x, y, in_circle}], edges: [{from, to, amount,
 * why, in_circle}], left_out}: x and y within -1…1; of more than `most` accounts those that most wait for are shown.
 * in_circle: they wait for one another, so none of them can ever pay first.
 */
export function layout(waits, most = 24) {
  const count = new Map();
  const named = new Map();
  const all = waits.map((wait) => {
    const [from, to] = [keyOf(wait.participant, wait.asset), keyOf(wait.waits_for, wait.in_asset)];
    named.set(from, [wait.participant, wait.asset]);
    named.set(to, [wait.waits_for, wait.in_asset]);
    count.set(from, (count.get(from) ?? 0) + 1);
    count.set(to, (count.get(to) ?? 0) + 1);
    return { from, to, amount: wait.amount, why: wait.why };
  });
  const reach = reaches(all);
  const circular = (a, b) => (reach.get(a)?.has(b) && reach.get(b)?.has(a)) ?? false;
  const rank = (key) => (circular(key, key) ? 1e6 : 0) + count.get(key);
  const kept = [...named.keys()].sort((a, b) => rank(b) - rank(a) || (a < b ? -1 : 1)).slice(0, most).sort(byCircle(circular));
  const places = new Map(kept.map((key, n) => [key, (2 * Math.PI * n) / kept.length - Math.PI / 2]));
  return {
    nodes: kept.map((key) => ({
      key,
      participant: named.get(key)[0],
      asset: named.get(key)[1],
      x: Math.cos(places.get(key)),
      y: Math.sin(places.get(key)),
      in_circle: circular(key, key),
    })),
    edges: all.filter((edge) => places.has(edge.from) && places.has(edge.to)).map((edge) => ({ ...edge, in_circle: circular(edge.from, edge.to) })),
    left_out: named.size - kept.length,
  };
}

const byCircle = (circular) => (a, b) => Number(circular(b, b)) - Number(circular(a, a)) || (a < b ? -1 : 1);
