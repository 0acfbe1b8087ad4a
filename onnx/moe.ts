/**
 * The two mixture-of-experts layers as ONNX nodes; the equations are those of nn/soft_moe.ts and nn/sphero_moe.ts, without
 * noise and dropout.
 * @module
 */
import { expertCount, type MoeVitConfig } from "../models/mod.ts";
import type { Scope } from "./scope.ts";

/** Added to lengths, as in the authors' code. */
const L2_EPS = 1e-6;

/** Tokens [B, N, D] to the same, by the layer at a place. */
export function moeLayer(at: Scope, x: string, config: MoeVitConfig): string {
  return config.ifDualpath ? spheroMoe(at, x, config) : softMoe(at, x, config);
}

function spheroMoe(at: Scope, x: string, config: MoeVitConfig): string {
  const [experts, slots, dim] = at.shapeOf("phi");
  const phi = at.has("slot_norm.weight")
    ? at.layerNorm("slot_norm", at.weight("phi"))
    : at.weight("phi");
  const queries = at.reshape(at.l2Normalize(phi, L2_EPS), [experts * slots, dim]);
  const cosines = at.matmul(at.l2Normalize(x, L2_EPS), at.permute(queries, [1, 0])); // [B, N, E s]
  const dispatch = at.softmax(at.div(cosines, at.weight("scales.0")), 1);
  const u = toExperts(at, dispatch, x, { experts, slots, dim });
  const core = expertCount(config, "core_experts");
  const y = at.concat([
    expertMlp(at.in("core_experts"), at.slice(u, 0, 0, core)),
    expertMlp(at.in("univ_experts"), at.slice(u, 0, core, experts)),
  ], 0);
  const combine = entmax15(at, at.div(cosines, at.weight("scales.1")), experts * slots);
  return fromExperts(at, combine, y, { experts, slots, dim });
}

function softMoe(at: Scope, x: string, { layerScale }: MoeVitConfig): string {
  const [experts, slots, dim] = at.shapeOf("phi");
  const normed = at.has("slot_norm.weight");
  const phi = normed
    ? at.layerNorm("slot_norm", at.weight("phi"))
    : at.l2Normalize(at.weight("phi"), L2_EPS);
  const queries = at.reshape(at.mul(phi, at.weight("scale")), [experts * slots, dim]);
  const keys = normed ? x : at.l2Normalize(x, L2_EPS);
  const scores = at.matmul(keys, at.permute(queries, [1, 0])); // [B, N, E s]
  const u = toExperts(at, at.softmax(scores, 1), x, { experts, slots, dim });
  const inside = at.in("experts");
  const y = layerScale
    ? offsetScale(inside.in("scale_out"), expertMlp(inside, offsetScale(inside.in("scale_in"), u)))
    : expertMlp(inside, u);
  return fromExperts(at, at.softmax(scores, 2), y, { experts, slots, dim });
}

function offsetScale(at: Scope, x: string): string {
  return at.add(at.mul(x, at.weight("gamma")), at.weight("beta"));
}

interface Slots {
  readonly experts: number;
  readonly slots: number;
  readonly dim: number;
}

/** Mixtures of tokens [B, N, D] by weights [B, N, E s], a group of rows for each expert: [E, B s, D]. */
function toExperts(at: Scope, weights: string, x: string, { experts, slots, dim }: Slots): string {
  const mixed = at.matmul(at.permute(weights, [0, 2, 1]), x);
  const byExpert = at.permute(at.reshape(mixed, [-1, experts, slots, dim]), [1, 0, 2, 3]);
  return at.reshape(byExpert, [experts, -1, dim]);
}

/** The way back: mixtures of the experts' rows by weights [B, N, E s], [B, N, D]. */
function fromExperts(
  at: Scope,
  weights: string,
  y: string,
  { experts, slots, dim }: Slots,
): string {
  const byImage = at.permute(at.reshape(y, [experts, -1, slots, dim]), [1, 0, 2, 3]);
  return at.matmul(weights, at.reshape(byImage, [-1, experts * slots, dim]));
}

/** Each expert's perceptron on its rows, [E, M, D] to the same. */
function expertMlp(at: Scope, x: string): string {
  const linear = (name: string, x: string) => {
    const layer = at.in(name), [experts, outputs] = layer.shapeOf("bias");
    const bias = layer.reshape(layer.weight("bias"), [experts, 1, outputs]);
    return layer.add(layer.matmul(x, layer.turned("weight")), bias);
  };
  return linear("vit_fc2", at.gelu(linear("vit_fc1", x)));
}

/**
 * 1.5-entmax over a last axis of n (Peters and others, arXiv:1905.05702, algorithm 2), exact: with z = x / 2 less its
 * maximum, sorted downwards, and mean and mean square of the first k,
 *
 *     tau_k = mean - sqrt((1 - k (mean square - mean^2)) / k)        the threshold, were the first k all of the support
 *     y = max(z - tau_K, 0)^2                                        K: how many of z reach their own tau
 */
export function entmax15(at: Scope, x: string, n: number): string {
  const half = at.mul(x, at.number(0.5));
  const attributes = { axis: -1, largest: 1, sorted: 1 };
  const sorted = at.node("TopK", [half, at.integers([n])], attributes, 2);
  const highest = at.slice(sorted, -1, 0, 1);
  const z = at.sub(sorted, highest);
  const counts = at.numbers(Array.from({ length: n }, (_, i) => i + 1));
  const axis = at.graph.constant("axis", [], BigInt64Array.of(-1n));
  const meanOfFirst = (values: string) => at.div(at.node("CumSum", [values, axis]), counts);
  const mean = meanOfFirst(z);
  const variance = at.sub(meanOfFirst(at.mul(z, z)), at.mul(mean, mean));
  const rest = at.div(at.sub(at.number(1), at.mul(counts, variance)), counts);
  const tau = at.sub(mean, at.node("Sqrt", [at.relu(rest)]));
  const reached = at.node("Cast", [at.node("LessOrEqual", [tau, z])], { to: 7 }); // int64
  const last = at.sub(at.sum(reached, -1), at.integers([1]));
  const threshold = at.node("GatherElements", [tau, last], { axis: -1 });
  const above = at.relu(at.sub(at.sub(half, highest), threshold));
  return at.mul(above, above);
}
