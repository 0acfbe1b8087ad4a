/**
 * Neurons that fire together, as a graph: co-activation counts are the weights of its edges, communities are groups of
 * neurons to keep together (MoE Jetpack's "graph" recycling).
 * @module
 */
import { ShapeError } from "../engine/errors.ts";

/** The parts of a partition, in the order in which they first appear among the nodes. */
export interface GraphParts {
  /** Each part's label. */
  readonly labels: Int32Array;
  /** The nodes of each part, ascending. */
  readonly nodes: readonly (readonly number[])[];
  /** How likely a part is drawn: its share of the co-activation inside all parts. A part of one node has 0. */
  readonly probabilities: Float32Array;
}

/** How good a partition is. */
export interface PartitionQuality {
  /** Newman's modularity: sum over parts of (inside / all) - (degrees / (2 all))^2, at most 1. */
  readonly modularity: number;
  /** The share of all edge weight that runs between parts, in [0, 1]. */
  readonly edgeCutRatio: number;
}

/**
 * Groups the nodes by their part and weighs the parts.
 * @param coActivation symmetric counts [n, n]; the diagonal is not looked at
 * @param partition the label of each node, [n]
 * @throws {ShapeError} the sizes do not fit
 */
export function graphParts(
  coActivation: ArrayLike<number>,
  partition: ArrayLike<number>,
): GraphParts {
  checkGraph("graphParts", coActivation, partition);
  const n = partition.length;
  const byLabel = new Map<number, number[]>();
  for (let node = 0; node < n; node++) {
    const nodes = byLabel.get(partition[node]);
    if (nodes) nodes.push(node);
    else byLabel.set(partition[node], [node]);
  }
  const nodes = [...byLabel.values()];
  const inside = nodes.map((part) => {
    let sum = 0;
    for (const u of part) for (const v of part) if (u !== v) sum += coActivation[u * n + v];
    return sum;
  });
  const all = inside.reduce((a, b) => a + b, 0);
  return {
    labels: Int32Array.from(byLabel.keys()),
    nodes,
    probabilities: Float32Array.from(inside, (sum) => all === 0 ? 0 : sum / all),
  };
}

/**
 * Modularity and edge cut of a partition.
 * @param coActivation symmetric edge weights [n, n]; self-loops (the diagonal) do not count
 * @param partition the label of each node, [n]
 * @throws {ShapeError} the sizes do not fit
 */
export function partitionQuality(
  coActivation: ArrayLike<number>,
  partition: ArrayLike<number>,
): PartitionQuality {
  checkGraph("partitionQuality", coActivation, partition);
  const n = partition.length;
  const inside = new Map<number, number>(), degrees = new Map<number, number>();
  let all = 0, cut = 0;
  for (let u = 0; u < n; u++) {
    for (let v = u + 1; v < n; v++) {
      const weight = coActivation[u * n + v];
      if (weight === 0) continue;
      const [a, b] = [partition[u], partition[v]];
      all += weight;
      degrees.set(a, (degrees.get(a) ?? 0) + weight);
      degrees.set(b, (degrees.get(b) ?? 0) + weight);
      if (a === b) inside.set(a, (inside.get(a) ?? 0) + weight);
      else cut += weight;
    }
  }
  if (all === 0) return { modularity: 0, edgeCutRatio: 0 };
  let modularity = 0;
  for (const [part, degree] of degrees) {
    modularity += (inside.get(part) ?? 0) / all - (degree / (2 * all)) ** 2;
  }
  return { modularity, edgeCutRatio: cut / all };
}

/** How many parts the reference draws to fill a subset: three times its share of the parts, rounded up past it. */
export function partsToDraw(parts: number, subset: number, total: number): number {
  return Math.min(parts, Math.trunc(subset / total * parts + 1) * 3);
}

/**
 * The neurons of some parts, taken part by part until there are enough. Ascending.
 * @param order positions in `parts.nodes`, in the order drawn
 * @throws {ShapeError} they hold too few neurons
 */
export function indicesFromParts(
  parts: GraphParts,
  order: ArrayLike<number>,
  subset: number,
): Int32Array {
  const nodes = Array.from(order).flatMap((position) => parts.nodes[position]);
  if (nodes.length < subset) {
    throw new ShapeError(
      `indicesFromParts: ${order.length} parts hold ${nodes.length} neurons, needs ${subset}; ` +
        "draw more parts, or make larger ones with a lower resolution",
    );
  }
  return Int32Array.from(nodes.slice(0, subset)).sort();
}

function checkGraph(
  name: string,
  coActivation: ArrayLike<number>,
  partition: ArrayLike<number>,
): void {
  const n = partition.length;
  if (coActivation.length !== n * n) {
    throw new ShapeError(
      `${name}: ${coActivation.length} weights for ${n} nodes, needs ${n} x ${n}`,
    );
  }
}
