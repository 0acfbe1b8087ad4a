/** Layers of the transformer: names, shapes, gradients of every parameter, dropout, losses. */
import { type Device, ShapeError, type Tensor } from "../../engine/mod.ts";
import { mul, sum } from "../../engine/ops/mod.ts";
import { activationReference } from "../../kernels/activations.ts";
import { attentionReference } from "../../kernels/attention_reference.ts";
import { patchifyReference } from "../../kernels/patchify.ts";
import {
  Attention,
  Dropout,
  DropPath,
  LayerNorm,
  Linear,
  meanAbsoluteError,
  meanSquaredError,
  Mlp,
  Module,
  PatchEmbed,
} from "../../nn/mod.ts";
import { testValues } from "../gradcheck.ts";
import { assert, assertClose, assertEquals, assertThrows, gpuTest, test } from "../harness.ts";

type Values = Record<string, Float64Array>;

/** Rows of x [rows, in] through a linear map, in double precision. */
function linear(x: ArrayLike<number>, values: Values, name: string): Float64Array {
  const weight = values[`${name}.weight`], bias = values[`${name}.bias`];
  const outputs = bias.length, inputs = weight.length / outputs, rows = x.length / inputs;
  return Float64Array.from({ length: rows * outputs }, (_, i) => {
    const row = Math.floor(i / outputs), o = i % outputs;
    let y = bias[o];
    for (let k = 0; k < inputs; k++) y += x[row * inputs + k] * weight[o * inputs + k];
    return y;
  });
}

function layerNorm(x: ArrayLike<number>, values: Values, name: string): Float64Array {
  const weight = values[`${name}.weight`], bias = values[`${name}.bias`], n = weight.length;
  const y = new Float64Array(x.length);
  for (let at = 0; at < x.length; at += n) {
    let mean = 0, variance = 0;
    for (let i = 0; i < n; i++) mean += x[at + i] / n;
    for (let i = 0; i < n; i++) variance += (x[at + i] - mean) ** 2 / n;
    for (let i = 0; i < n; i++) {
      y[at + i] = (x[at + i] - mean) / Math.sqrt(variance + 1e-6) * weight[i] + bias[i];
    }
  }
  return y;
}

/**
 * Output and gradients (of the input and of some entries of every parameter) against a double-precision twin and its
 * central differences.
 */
async function checkModule(
  device: Device,
  module: Module & { forward(x: Tensor): Tensor },
  shape: readonly number[],
  reference: (x: Float64Array, values: Values) => ArrayLike<number>,
): Promise<void> {
  const host: Values = {};
  let seed = 10;
  for (const [name, parameter] of module.namedParameters()) {
    const values = testValues(parameter.size, seed++).map((v) => 0.5 * v);
    parameter.load(values);
    host[name] = Float64Array.from(values);
  }
  await module.to(device);
  const x = testValues(shape.reduce((a, b) => a * b, 1), 1);
  host.x = Float64Array.from(x);
  let probe: Float32Array = new Float32Array(0);
  const reads = await device.step(() => {
    const input = device.tensor(x, shape, { requiresGrad: true });
    const y = module.forward(input);
    probe = testValues(y.size, 2);
    sum(mul(y, device.tensor(probe, y.shape))).backward();
    const grads = module.namedParameters().map(([name, p]) => [name, p.grad!.data()] as const);
    return { y: y.data(), grads: new Map([...grads, ["x", input.grad!.data()] as const]) };
  });
  const run = (values: Values) => reference(values.x, values);
  assertClose(await reads.y, run(host), { atol: 1e-5, rtol: 1e-5, name: "output" });
  const loss = (values: Values) => {
    const y = run(values);
    return probe.reduce((total, p, i) => total + p * y[i], 0);
  };
  for (const [name, read] of reads.grads) {
    const got = await read, step = 1e-4;
    for (const i of new Set([0, Math.floor(got.length / 2), got.length - 1])) {
      const moved = (by: number) =>
        loss({ ...host, [name]: host[name].with(i, host[name][i] + by) });
      const want = (moved(step) - moved(-step)) / (2 * step);
      assertClose([got[i]], [want], { atol: 2e-5, rtol: 1e-4, name: `gradient of ${name}[${i}]` });
    }
  }
  module.dispose();
}

gpuTest("Linear passes gradients to weight, bias and input", async (device) => {
  await checkModule(device, new Seq(new Linear(5, 3)), [2, 4, 5], (x, v) => linear(x, v, "part"));
});

gpuTest("Mlp is fc2(gelu(fc1(x)))", async (device) => {
  await checkModule(device, new Mlp(6, 10), [3, 6], mlp);
});

function mlp(x: ArrayLike<number>, v: Values, prefix = ""): Float64Array {
  const hidden = linear(x, v, `${prefix}fc1`).map((y) => activationReference("gelu", y));
  return linear(hidden, v, `${prefix}fc2`);
}

const attentionShape = { batch: 2, tokens: 5, heads: 2, headDim: 3 };

function attend(x: ArrayLike<number>, v: Values, prefix = ""): Float64Array {
  const { out } = attentionReference(
    linear(x, v, `${prefix}qkv`),
    attentionShape,
    Math.sqrt(1 / 3),
  );
  return linear(out, v, `${prefix}proj`);
}

gpuTest("Attention gives every parameter its gradient", async (device) => {
  await checkModule(device, new Attention(6, 2), [2, 5, 6], attend);
});

gpuTest(
  "Attention with dropout of weights takes the composed path, which agrees",
  async (device) => {
    // So improbable that nothing is dropped: what is compared is the path, not the mask.
    await checkModule(device, new Attention(6, 2, { attnDrop: 1e-9 }), [2, 5, 6], attend);
  },
);

gpuTest("PatchEmbed is the convolution whose stride is its kernel", async (device) => {
  const shape = { batch: 2, channels: 3, height: 4, width: 6, patch: 2 };
  await checkModule(device, new PatchEmbed(3, 2, 5), [2, 3, 4, 6], (x, v) => {
    return linear(patchifyReference(shape, x).y, v, "proj");
  });
});

/** A transformer block, to see gradients add up over two branches. */
class Block extends Module {
  readonly norm = this.child("norm", new LayerNorm(6, 1e-6));
  readonly attn = this.child("attn", new Attention(6, 2));
  readonly mlp = this.child("mlp", new Mlp(6, 7));
  forward(x: Tensor): Tensor {
    const y = this.norm.forward(this.attn.forward(this.norm.forward(x)));
    return this.mlp.forward(y);
  }
}

class Seq extends Module {
  constructor(readonly part: Linear) {
    super();
    this.child("part", part);
  }
  forward(x: Tensor): Tensor {
    return this.part.forward(x);
  }
}

gpuTest("a module used twice gets the sum of both gradients", async (device) => {
  await checkModule(device, new Block(), [2, 5, 6], (x, v) => {
    const y = layerNorm(attend(layerNorm(x, v, "norm"), v, "attn."), v, "norm");
    return mlp(y, v, "mlp.");
  });
});

test("parameters have timm's names, and start as timm's", () => {
  const names = (module: Module) => module.namedParameters().map(([n, p]) => `${n} [${p.shape}]`);
  assertEquals(names(new Attention(6, 2)), [
    "qkv.weight [18,6]",
    "qkv.bias [18]",
    "proj.weight [6,6]",
    "proj.bias [6]",
  ]);
  assertEquals(names(new Attention(6, 2, { qkvBias: false })).length, 3);
  assertEquals(names(new Mlp(6, 24)), [
    "fc1.weight [24,6]",
    "fc1.bias [24]",
    "fc2.weight [6,24]",
    "fc2.bias [6]",
  ]);
  assertEquals(names(new PatchEmbed(3, 16, 192)), [
    "proj.weight [192,3,16,16]",
    "proj.bias [192]",
  ]);
  const { qkv } = new Attention(64, 4);
  assertEquals(qkv.bias!.takeInitial(1, "b").every((v) => v === 0), true);
  const weight = qkv.weight.takeInitial(1, "w");
  const deviation = Math.sqrt(weight.reduce((s, v) => s + v * v, 0) / weight.length);
  assertClose([deviation], [0.02], { rtol: 0.05 });
});

gpuTest("Dropout and DropPath act in training only", async (device) => {
  for (const layer of [new Dropout(0.5), new DropPath(0.5)]) {
    const run = () => device.step(() => layer.forward(device.full([64, 4], 1)).data());
    const trained = await run();
    assert(trained.every((v) => v === 0 || v === 2));
    assert(trained.includes(0) && trained.includes(2));
    layer.eval();
    assertEquals(await run(), new Float32Array(256).fill(1));
  }
});

test("layers refuse settings that make no layer", () => {
  assertThrows(() => new Attention(6, 4), ShapeError, "dim 6 is not divisible by 4 heads");
  assertThrows(() => new Attention(6, 2, { attnDrop: 2 }), ShapeError, "attnDrop");
  assertThrows(() => new Dropout(-1), ShapeError, "p is -1, needs a number in [0, 1]");
  assertThrows(() => new DropPath(NaN), ShapeError, "DropPath");
});

gpuTest("losses are means, and refuse shapes that would broadcast", async (device) => {
  const [square, absolute] = await device.step(() => {
    const a = device.tensor([1, 2, 4]), b = device.tensor([1, 0, 1]);
    return [meanSquaredError(a, b).item(), meanAbsoluteError(a, b).item()];
  });
  assertClose([await square, await absolute], [13 / 3, 5 / 3], { rtol: 1e-6 });
  const a = device.zeros([3, 1]), b = device.zeros([3]);
  assertThrows(() => meanSquaredError(a, b), ShapeError, "differ in shape");
  assertThrows(() => meanAbsoluteError(a, b), ShapeError, "differ in shape");
});
