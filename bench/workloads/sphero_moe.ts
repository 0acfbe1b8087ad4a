/**
 * The SpheroMoE layer of V-JetMoE-T: 98 large and 196 small experts on 197 tokens of 192 channels.
 * @module
 */
import { SpheroMoe } from "../../mod.ts";
import { spheroMoe, spheroMoeProducts } from "../equations/sphero_moe.ts";
import { elements, uniform, weightsFor } from "../host_tensor.ts";
import { type ForwardWork, type GradientWork, once, type Workload } from "../workload.ts";
import { free, place, shapesOf, upload } from "./ours.ts";

/** Sizes of a layer. */
export interface SpheroMoeSize {
  readonly batch: number;
  readonly tokens: number;
  readonly dim: number;
  readonly core: number;
  readonly univ: number;
}

/** Forward, and forward with the gradients of the tokens and of all parameters. */
export function spheroMoeWorkloads(size: SpheroMoeSize): Workload[] {
  const { batch, tokens, dim, core, univ } = size;
  const shape = `${batch}x${tokens}x${dim}, ${core}+${univ} experts`;
  const config = { coreExperts: core, univExperts: univ, slotLayernorm: true };
  const layer = () => new SpheroMoe(dim, config);
  const shapes = shapesOf(layer());
  const forward = once((): ForwardWork => ({
    kind: "forward",
    inputs: { x: uniform([batch, tokens, dim], 1, 2) },
    weights: weightsFor(shapes),
    compute: (ops, p) => ({ y: spheroMoe(ops, p, "", p.x) }),
  }));
  const gradient = once((): GradientWork => ({
    ...forward(),
    kind: "gradient",
    dOut: uniform([batch, tokens, dim], 2),
    wrt: ["x", ...shapes.map(([name]) => name)],
  }));
  const products = spheroMoeProducts({ ...size, coreHidden: 4 * dim, univHidden: dim });
  const weightBytes = 4 * shapes.reduce((sum, [, shape]) => sum + elements(shape), 0);
  const dataBytes = 8 * batch * tokens * dim;
  return [{
    name: "SpheroMoE forward",
    shape,
    flops: 2 * products,
    bytes: weightBytes + dataBytes,
    tolerance: 1e-4,
    work: forward,
    wgrad: async (device) => {
      const module = await place(device, layer(), forward().weights);
      const { x } = upload(device, forward().inputs);
      module.freeze();
      return {
        step: () => ({ y: module.forward(x) }),
        dispose: () => (module.dispose(), free({ x })),
      };
    },
  }, {
    name: "SpheroMoE forward+backward",
    shape,
    flops: 6 * products,
    bytes: 3 * weightBytes + 3 * dataBytes,
    tolerance: 1e-4,
    work: gradient,
    wgrad: async (device) => {
      const module = await place(device, layer(), gradient().weights);
      const tensors = upload(device, { ...gradient().inputs, dOut: gradient().dOut }, ["x"]);
      const { x, dOut } = tensors;
      const step = () => {
        module.zeroGrad();
        x.grad = null;
        const y = module.forward(x);
        y.backward(dOut);
        const gradients = module.namedParameters().map(([name, { grad }]) => [`d ${name}`, grad!]);
        return { y, "d x": x.grad!, ...Object.fromEntries(gradients) };
      };
      return { step, dispose: () => (module.dispose(), free(tensors)) };
    },
  }];
}

/** ViT-T's. */
export const SPHERO_MOE: readonly Workload[] = [1, 8].flatMap((batch) =>
  spheroMoeWorkloads({ batch, tokens: 197, dim: 192, core: 98, univ: 196 })
);
