/**
 * Communities of a weighted graph by the Louvain method (Blondel, Guillaume, Lambiotte, Lefebvre 2008).
 *
 * It climbs the modularity Q = sum over communities of inside / m - resolution (degrees / 2m)^2, in levels: single
 * nodes move to the neighbouring community that raises Q most until none does; then every community becomes one node
 * of a smaller graph, and the same begins anew.
 * @module
 */
import { ShapeError } from "../engine/errors.ts";
import type { Rng } from "../engine/random/host_rng.ts";

/** A level of the graph, dense: `weights[u * n + v]`, where the diagonal holds what is inside a merged node, twice. */
interface Level {
  readonly n: number;
  readonly weights: Float64Array;
}

/** A pass over all nodes that raises Q by less than this ends a level. */
const LEAST_GAIN = 1e-7;

/**
 * Finds communities.
 * @param weights symmetric edge weights [n, n], not negative; the diagonal is not looked at
 * @param n number of nodes
 * @param rng the order in which nodes are tried, which decides between equally good moves
 * @param resolution above 1: more and smaller communities; default 1.1, MoE Jetpack's
 * @returns each node's community, numbered from 0 in the order of first appearance
 * @throws {ShapeError} the sizes do not fit
 */
export function louvain(
  weights: ArrayLike<number>,
  n: number,
  rng: Rng,
  resolution = 1.1,
): Int32Array {
  if (weights.length !== n * n) {
    throw new ShapeError(`louvain: ${weights.length} weights for ${n} nodes, needs ${n} x ${n}`);
  }
  let level: Level = { n, weights: Float64Array.from(weights) };
  for (let u = 0; u < n; u++) level.weights[u * n + u] = 0;
  let partition = Int32Array.from({ length: n }, (_, i) => i);
  for (;;) {
    const { community, moved } = moveNodes(level, rng, resolution);
    const numbered = renumber(community);
    partition = partition.map((node) => numbered.labels[node]);
    if (!moved || numbered.count === level.n) return renumber(partition).labels;
    level = merge(level, numbered.labels, numbered.count);
  }
}

/** Moves single nodes while that raises Q. */
function moveNodes(
  { n, weights }: Level,
  rng: Rng,
  resolution: number,
): { community: Int32Array; moved: boolean } {
  const degree = new Float64Array(n);
  for (let u = 0; u < n; u++) {
    for (let v = 0; v < n; v++) degree[u] += weights[u * n + v];
  }
  const twice = degree.reduce((a, b) => a + b, 0); // 2m: every edge is counted at both ends
  const community = Int32Array.from({ length: n }, (_, i) => i);
  const total = degree.slice(); // degrees by community
  const towards = new Float64Array(n); // weight from the node at hand to each community
  let moved = false;
  if (twice === 0) return { community, moved };
  for (;;) {
    let gained = 0;
    for (const u of rng.permutation(n)) {
      towards.fill(0);
      for (let v = 0; v < n; v++) if (v !== u) towards[community[v]] += weights[u * n + v];
      const from = community[u], share = resolution * degree[u] / twice;
      total[from] -= degree[u];
      // Q changes by (towards - share * total) / m when u joins a community; "stay" is one of the choices.
      let best = from, bestValue = towards[from] - share * total[from];
      const stay = bestValue;
      for (let c = 0; c < n; c++) {
        if (towards[c] === 0) continue;
        const value = towards[c] - share * total[c];
        if (value > bestValue) [best, bestValue] = [c, value];
      }
      total[best] += degree[u];
      community[u] = best;
      gained += 2 * (bestValue - stay) / twice;
      moved ||= best !== from;
    }
    if (gained < LEAST_GAIN) return { community, moved };
  }
}

/** The graph whose nodes are the communities. */
function merge({ n, weights }: Level, labels: Int32Array, count: number): Level {
  const merged = new Float64Array(count * count);
  for (let u = 0; u < n; u++) {
    for (let v = 0; v < n; v++) merged[labels[u] * count + labels[v]] += weights[u * n + v];
  }
  return { n: count, weights: merged };
}

function renumber(labels: Int32Array): { labels: Int32Array; count: number } {
  const numbers = new Map<number, number>();
  const renumbered = labels.map((label) => {
    if (!numbers.has(label)) numbers.set(label, numbers.size);
    return numbers.get(label)!;
  });
  return { labels: renumbered, count: numbers.size };
}
