/**
 * wgrad: a WebGPU compute-shader framework with hand-written WGSL kernels, reverse-mode autograd, and two vision systems
 * built on it.
 *
 * @example Train a small Vision Transformer
 * ```ts
 * import { AdamW, crossEntropy, requestDevice, VisionTransformer } from "@wgrad/wgrad";
 *
 * using device = await requestDevice();
 * const config = { imgSize: 8, patchSize: 4, inChans: 1, embedDim: 16, depth: 1, numHeads: 2, numClasses: 2 };
 * const model = await new VisionTransformer(config).to(device, { seed: 1 });
 * const optimizer = new AdamW(model.namedParameters(), { lr: 1e-3 });
 * const images = device.tensor(new Float32Array(2 * 64).fill(0.5), [2, 1, 8, 8]);
 * const labels = device.tensor(Uint32Array.of(0, 1));
 * const loss = await device.step(() => {
 *   optimizer.zeroGrad();
 *   const loss = crossEntropy(model.forward(images), labels);
 *   loss.backward();
 *   optimizer.step();
 *   return loss.item();
 * });
 * if (!Number.isFinite(loss)) throw new Error("not a number");
 * ```
 * @module
 */
export * from "./engine/mod.ts";
export * from "./nn/mod.ts";
export * from "./models/mod.ts";
