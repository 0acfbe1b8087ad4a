/**
 * A kernel of one's own with its gradient: deno run examples/own_kernel.ts
 *
 *     y = log(1 + exp(x)),   dx = dy / (1 + exp(-x))          docs/guide/own-kernel.md explains each part
 */
import { mul, recordOp, requestDevice, runKernel, sum, type Tensor } from "@wgrad/wgrad";
import {
  ceilDiv,
  defineProgram,
  FOLDED_GROUP,
  foldWorkgroups,
  GROUP_ARGUMENTS,
  wgsl,
} from "@wgrad/wgrad/kernels";

const program = defineProgram({
  name: "softplus",
  params: { size: "u32" },
  bindings: { x: "read f32", y: "write f32", slope: "write f32" },
  workgroupSize: 64,
  code: wgsl`
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let i = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (i >= params.size) { return; }
  let e = exp(-abs(x[i])); // never overflows
  y[i] = max(x[i], 0.0) + log(1.0 + e);
  slope[i] = select(e, 1.0, x[i] > 0.0) / (1.0 + e);
}`,
});

function softplus(x: Tensor): Tensor {
  const y = x.device.empty(x.shape, "f32", "softplus");
  const slope = x.device.empty(x.shape, "f32", "softplus slope");
  const size = x.size, workgroups = foldWorkgroups(ceilDiv(size, 64));
  const sizes = { x: size, y: size, slope: size };
  const cost = { flops: 6 * size, bytes: 12 * size };
  runKernel({ program, params: { size }, sizes, workgroups, ...cost }, { x, y, slope });
  recordOp("softplus", {
    inputs: { x },
    outputs: [y],
    saved: { slope },
    backward: ({ saved, dOut }) => ({ x: mul(dOut, saved.slope) }),
  });
  return y;
}

using device = await requestDevice();
const x = device.tensor([-2, 0, 3], undefined, { requiresGrad: true });
sum(softplus(x)).backward();
console.log("gradient", Array.from(await x.grad!.data(), (value) => value.toFixed(4)).join(" "));
