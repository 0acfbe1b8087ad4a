import { assert, assertClose, gpuTest, test } from "../harness.ts";
import { runKernel } from "./run_kernel.ts";
import {
  type Activation,
  activationDerivativeReference,
  activationFunctions,
  activationReference,
  type ActivationType,
  erf,
} from "../../kernels/activations.ts";
import { ceilDiv, defineProgram, foldWorkgroups, type Kernel } from "../../kernels/kernel.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS } from "../../kernels/snippets.ts";

const ACTIVATIONS: Activation[] = ["none", "gelu", "relu", "silu"];

/** y and its derivative d at every x: the smallest kernel around the functions. */
function pointwise(activation: Activation, type: ActivationType, count: number): Kernel {
  const vectors = type === "vec4f";
  const element = vectors ? "vec4<f32>" : "f32";
  const own = vectors ? count / 4 : count;
  return {
    program: defineProgram({
      name: `test ${activation} ${type}`,
      params: { count: "u32" },
      bindings: { x: `read ${element}`, y: `write ${element}`, d: `write ${element}` },
      workgroupSize: 64,
      code: `${activationFunctions(activation, type)}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let i = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (i >= params.count) { return; }
  y[i] = ${activation}(x[i]);
  d[i] = ${activation}_derivative(x[i]);
}`,
    }),
    params: { count: own },
    sizes: { x: count, y: count, d: count },
    workgroups: foldWorkgroups(ceilDiv(own, 64)),
    flops: 0,
    bytes: 0,
  };
}

test("erf() in float64 has known values", () => {
  // Abramowitz and Stegun, table 7.1
  const known = [[0, 0], [0.5, 0.5204998778], [1, 0.8427007929], [2, 0.9953222650], [
    -1,
    -0.8427007929,
  ]];
  for (const [x, y] of known) assert(Math.abs(erf(x) - y) < 1e-10, `erf(${x}) = ${erf(x)}`);
  assert(erf(40) === 1 && erf(-40) === -1, "the tails");
});

for (const activation of ACTIVATIONS) {
  gpuTest(
    `${activation}: values and derivatives are those of the float64 loop, scalar and vec4`,
    async (device) => {
      // dense where the curve bends, then tails, and magnitudes whose square or exponential overflows
      const x = Float32Array.from({ length: 4096 }, (_, i) => (i - 2048) / 256);
      x.set([-1e30, -3e4, -100, -88, -20, -13.5, 13.5, 20, 88, 100, 3e4, 1e30]);
      const y = Float64Array.from(x, (v) => activationReference(activation, v));
      const d = Float64Array.from(x, (v) => activationDerivativeReference(activation, v));
      for (const type of ["f32", "vec4f"] as const) {
        const got = await runKernel(device, pointwise(activation, type, x.length), { x });
        assertClose(got.y, y, { atol: 1e-6, rtol: 1e-6, name: `${activation} ${type}` });
        assertClose(got.d, d, { atol: 2e-6, rtol: 1e-6, name: `${activation}_derivative ${type}` });
      }
    },
  );
}
