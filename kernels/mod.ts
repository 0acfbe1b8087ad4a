/**
 * The kernels: hand-written WGSL, one family a file, each with its plain-loop reference. Pure: no GPU is needed to read,
 * print or compare them.
 * @module
 */
export * from "./activations.ts";
export * from "./adamw.ts";
export * from "./arena_layout.ts";
export * from "./argmax.ts";
export * from "./attention.ts";
export * from "./attention_online.ts";
export * from "./attention_variant.ts";
export * from "./axis_view.ts";
export * from "./bias_activation.ts";
export * from "./column_sum.ts";
export * from "./concat.ts";
export * from "./cosine_routing.ts";
export * from "./cross_entropy.ts";
export * from "./elementwise.ts";
export * from "./entmax.ts";
export * from "./entmax_support.ts";
export * from "./entmax_support_workgroup.ts";
export * from "./entmax_workgroup.ts";
export * from "./fill.ts";
export * from "./global_norm.ts";
export * from "./grouped_matmul.ts";
export * from "./kernel.ts";
export * from "./l2_normalize.ts";
export * from "./layer_norm.ts";
export * from "./layer_norm_workgroup.ts";
export * from "./matmul.ts";
export * from "./matmul_select.ts";
export * from "./matmul_shape.ts";
export * from "./matmul_split_k.ts";
export * from "./matmul_tiled.ts";
export * from "./matmul_workgroup.ts";
export * from "./non_finite.ts";
export * from "./patchify.ts";
export * from "./permute.ts";
export * from "./random.ts";
export * from "./reduce.ts";
export * from "./register_tile.ts";
export * from "./routing_weights.ts";
export * from "./routing_weights_workgroup.ts";
export * from "./self_test.ts";
export * from "./sgd.ts";
export * from "./soft_merge.ts";
export * from "./soft_merge_tiled.ts";
export * from "./softmax.ts";
export * from "./softmax_workgroup.ts";
export * from "./strided_map.ts";
export * from "./target.ts";
export * from "./workgroup_tile.ts";
