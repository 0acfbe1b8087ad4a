import { ShapeError } from "../../engine/errors.ts";
import { Rng } from "../../engine/random/host_rng.ts";
import { graphParts, indicesFromParts, partitionQuality, partsToDraw } from "../../models/graph.ts";
import { louvain } from "../../models/louvain.ts";
import { assert, assertClose, assertEquals, assertThrows, test } from "../harness.ts";

/** Two triangles (0 1 2) and (3 4 5) with weight 2 inside, joined by one edge 2-3 of weight 1; node 6 is alone. */
const TWO_TRIANGLES = symmetric(7, [
  [0, 1, 2],
  [1, 2, 2],
  [0, 2, 2],
  [3, 4, 2],
  [4, 5, 2],
  [3, 5, 2],
  [2, 3, 1],
]);

function symmetric(n: number, edges: readonly (readonly [number, number, number])[]): Float32Array {
  const weights = new Float32Array(n * n);
  for (const [u, v, weight] of edges) weights[u * n + v] = weights[v * n + u] = weight;
  return weights;
}

test("graphParts() numbers parts by first appearance and weighs them by what is inside", () => {
  const parts = graphParts(TWO_TRIANGLES, [5, 5, 5, 2, 2, 9, 7]);
  assertEquals([...parts.labels], [5, 2, 9, 7]);
  assertEquals(parts.nodes, [[0, 1, 2], [3, 4], [5], [6]]);
  assertClose(parts.probabilities, [12 / 16, 4 / 16, 0, 0], { atol: 1e-7 });
});

test("graphParts() of a graph without edges gives no part a chance", () => {
  assertEquals([...graphParts(new Float32Array(4), [0, 0]).probabilities], [0]);
  assertThrows(() => graphParts(new Float32Array(5), [0, 0]), ShapeError, "5 weights for 2 nodes");
});

test("partitionQuality() counts edges once and no self-loops", () => {
  const withLoops = TWO_TRIANGLES.slice();
  for (let u = 0; u < 7; u++) withLoops[u * 8] = 100;
  const { modularity, edgeCutRatio } = partitionQuality(withLoops, [0, 0, 0, 1, 1, 1, 2]);
  assertClose([edgeCutRatio], [1 / 13], { atol: 1e-12 });
  assertClose([modularity], [2 * (6 / 13 - (13 / 26) ** 2)], { atol: 1e-12 });
  assertEquals(partitionQuality(new Float32Array(4), [0, 1]), { modularity: 0, edgeCutRatio: 0 });
});

test("indicesFromParts() fills up part by part", () => {
  const parts = graphParts(TWO_TRIANGLES, [5, 5, 5, 2, 2, 9, 7]);
  assertEquals([...indicesFromParts(parts, [1, 0], 4)], [0, 1, 3, 4]);
  assertThrows(() => indicesFromParts(parts, [1], 4), ShapeError, "hold 2 neurons, needs 4");
});

test("partsToDraw() is three times the share of the parts, at most all", () => {
  assertEquals(partsToDraw(27, 24, 96), 21);
  assertEquals(partsToDraw(27, 96, 96), 27);
});

test("louvain() finds the triangles", () => {
  for (let seed = 0; seed < 20; seed++) {
    const found = louvain(TWO_TRIANGLES, 7, new Rng(seed), 1);
    assertEquals([...found], [0, 0, 0, 1, 1, 1, 2], `seed ${seed}`);
  }
});

test("louvain() finds planted groups behind noise, more of them at a higher resolution", () => {
  const n = 60, rng = new Rng(3, "planted"), weights = new Float32Array(n * n);
  for (let u = 0; u < n; u++) {
    for (let v = 0; v < u; v++) {
      const together = u % 4 === v % 4;
      weights[u * n + v] = weights[v * n + u] = rng.uniform() * (together ? 4 : 1);
    }
  }
  const found = louvain(weights, n, new Rng(1), 1);
  assertEquals([...found], Array.from({ length: n }, (_, u) => u % 4));
  const planted = partitionQuality(weights, found).modularity;
  assert(planted > 0.2, `modularity ${planted}`);
  const fine = louvain(weights, n, new Rng(1), 4);
  assert(new Set(fine).size > 4, `${new Set(fine).size} groups at resolution 4`);
});

test("louvain() of a graph without edges leaves every node alone", () => {
  assertEquals([...louvain(new Float32Array(9), 3, new Rng(0))], [0, 1, 2]);
  assertThrows(() => louvain(new Float32Array(8), 3, new Rng(0)), ShapeError, "8 weights");
});
