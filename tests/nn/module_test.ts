/** Modules: names, placing, loading, sharing, freezing. */
import { CheckpointError, DeviceLostError, ScopeError, type Tensor } from "../../engine/mod.ts";
import { init, LayerNorm, Module, Parameter } from "../../nn/mod.ts";
import { assert, assertEquals, assertRejects, assertThrows } from "../harness.ts";
import { gpuTest, test } from "../harness.ts";

class Pair extends Module {
  readonly weight = this.parameter("weight", new Parameter([3, 2], init.normal()));
  readonly running = this.buffer("running", new Parameter([2], init.zeros));
  readonly scales = [0, 1].map((i) =>
    this.parameter(`scales.${i}`, new Parameter([], init.constant(0.5 + i)))
  );
}

class Net extends Module {
  readonly pair: Pair;
  readonly norm: LayerNorm;
  readonly blocks: readonly Pair[];
  constructor(reversed = false) {
    super();
    const make = [
      () => new Pair(),
      () => new LayerNorm(2),
      () => [new Pair(), new Pair()],
    ] as const;
    const order = reversed ? [2, 1, 0] : [0, 1, 2];
    const parts: unknown[] = [];
    for (const i of order) parts[i] = make[i]();
    this.pair = this.child("pair", parts[0] as Pair);
    this.norm = this.child("norm", parts[1] as LayerNorm);
    this.blocks = this.childList("blocks", parts[2] as Pair[]);
  }
}

class Tied extends Module {
  readonly a = this.parameter("a", new Parameter([4], init.normal()));
  readonly b = this.parameter("b", this.a);
}

const KEYS = [
  "pair.weight",
  "pair.scales.0",
  "pair.scales.1",
  "pair.running",
  "norm.weight",
  "norm.bias",
  "blocks.0.weight",
  "blocks.0.scales.0",
  "blocks.0.scales.1",
  "blocks.0.running",
  "blocks.1.weight",
  "blocks.1.scales.0",
  "blocks.1.scales.1",
  "blocks.1.running",
];

test("Module names parameters by their path, without buffers", () => {
  const net = new Net();
  assertEquals(
    net.namedParameters().map(([name]) => name),
    KEYS.filter((k) => !k.endsWith("running")),
  );
  assertEquals(
    net.namedBuffers().map(([name]) => name),
    KEYS.filter((k) => k.endsWith("running")),
  );
  assertEquals(net.learnedSize, 3 * 8 + 4);
});

test("Module refuses a name that is used or is no name", () => {
  class Twice extends Module {
    readonly a = this.parameter("x", new Parameter([1], init.zeros));
    readonly b = this.buffer("x", new Parameter([1], init.zeros));
  }
  assertThrows(() => new Twice(), Error, `Twice: "x" is used already`);
  class Empty extends Module {
    readonly a = this.parameter("", new Parameter([1], init.zeros));
  }
  assertThrows(() => new Empty(), Error, `Empty: "" is not a name`);
});

test("Module.train() and eval() reach all modules below", () => {
  const net = new Net().eval();
  assert(net.namedModules().every(([, m]) => !m.training));
  net.train();
  assert(net.blocks[1].training);
});

gpuTest(
  "Module.to() draws values that do not depend on the order of construction",
  async (device) => {
    const [a, b, c] = await Promise.all([
      new Net().to(device, { seed: 7 }),
      new Net(true).to(device, { seed: 7 }),
      new Net().to(device, { seed: 8 }),
    ]);
    const values = await a.stateDict();
    assertEquals([...values.keys()], KEYS);
    assertEquals(values, await b.stateDict());
    assert(
      values.get("pair.weight")!.data[0] !== (await c.stateDict()).get("pair.weight")!.data[0],
    );
    assert(values.get("pair.weight")!.data[0] !== values.get("blocks.0.weight")!.data[0]);
    assertEquals(values.get("pair.scales.1"), { shape: [], data: Float32Array.of(1.5) });
  },
);

gpuTest("Module.loadStateDict() works before and after to()", async (device) => {
  const values = await (await new Net().to(device, { seed: 1 })).stateDict();
  const before = new Net();
  before.loadStateDict(values);
  await before.to(device);
  assertEquals(await before.stateDict(), values);
  const after = await new Net().to(device);
  after.loadStateDict(values);
  assertEquals(await after.stateDict(), values);
});

gpuTest("Module.loadStateFrom() reads tensor by tensor", async (device) => {
  const values = await (await new Net().to(device, { seed: 1 })).stateDict();
  const net = await new Net().to(device);
  const read: string[] = [];
  const report = await net.loadStateFrom({
    shapes: new Map([...values].map(([name, { shape }]) => [name, shape])),
    read: (name) => {
      read.push(name);
      return Promise.resolve(values.get(name)!.data);
    },
  });
  assertEquals(read, KEYS);
  assertEquals(report.loaded, KEYS);
  assertEquals(await net.stateDict(), values);
});

test("Module.loadStateDict() lists all that does not fit in one error, and changes nothing", () => {
  const net = new LayerNorm(3);
  const values = new Map([
    ["weight", { shape: [4], data: new Float32Array(4) }],
    ["extra", { shape: [1], data: new Float32Array(1) }],
  ]);
  assertThrows(
    () => net.loadStateDict(values),
    CheckpointError,
    "LayerNorm.loadStateDict(): the state dict does not fit.\n" +
      "  missing (1): bias\n" +
      "  unexpected (1): extra\n" +
      "  wrong shape (1): weight is [4], needs [3]\n" +
      "  Load with { strict: false } to take what fits.",
  );
  const report = net.loadStateDict(values, { strict: false });
  assertEquals(report, {
    loaded: [],
    missing: ["bias"],
    unexpected: ["extra"],
    wrongShape: [{ name: "weight", got: [4], want: [3] }],
  });
  const long = new Map([["weight", { shape: [3], data: new Float32Array(2) }]]);
  assertThrows(() => net.loadStateDict(long), CheckpointError, `"weight" has 2 values`);
});

test("Module.loadStateDict() ignores the names it is told to", () => {
  const net = new LayerNorm(1);
  const one = { shape: [1], data: Float32Array.of(2) };
  const values = new Map([["weight", one], ["bias", one], ["num_batches_tracked", one]]);
  assertEquals(
    net.loadStateDict(values, { ignore: /num_batches_tracked$/ }).loaded,
    ["weight", "bias"],
  );
});

gpuTest("a parameter registered twice is one parameter with two keys", async (device) => {
  const tied = await new Tied().to(device, { seed: 3 });
  assertEquals(tied.parameters().length, 1);
  assertEquals(tied.learnedSize, 4);
  const values = await tied.stateDict();
  assertEquals([...values.keys()], ["a", "b"]);
  assertEquals(values.get("a"), values.get("b"));
});

gpuTest("Module.freeze() stops gradients and zeroGrad() forgets them", async (device) => {
  const norm = await new LayerNorm(4).to(device);
  const run = (): Tensor => norm.forward(device.full([2, 4], 1.5));
  await device.step(() => run().backward(device.full([2, 4], 1)));
  assert(norm.weight.grad !== null);
  norm.zeroGrad();
  assertEquals(norm.bias.grad, null);
  const gradient = await device.step(() => {
    run().backward(device.full([2, 4], 1));
    return norm.bias.grad?.data();
  });
  assertEquals(gradient, Float32Array.of(2, 2, 2, 2)); // not 4: it was not added to the first
  norm.freeze();
  assertEquals([norm.bias.grad, norm.learnedSize], [null, 0]);
  await device.step(() => assertThrows(() => run().backward(device.full([2, 4], 1)), ScopeError));
  norm.freeze(false);
  await device.step(() => run().backward(device.full([2, 4], 1)));
  assert(norm.bias.grad !== null);
});

test("an unplaced parameter says what to do", async () => {
  await assertRejects(() => new LayerNorm(2).stateDict(), ScopeError, "model.to(device)");
});

gpuTest("Module.to() moves to another device; dispose() frees", async (device) => {
  const { requestDevice } = await import("../../engine/mod.ts");
  const first = await requestDevice();
  const net = await new Net().to(first, { seed: 5 });
  const values = await net.stateDict();
  await net.to(device);
  first.destroy();
  assertEquals(await net.stateDict(), values);
  net.dispose();
  await device.sync();
  assertEquals(device.memory.liveBytes, 0);
  await assertRejects(() => new Net().to(first), DeviceLostError);
}, { device: {} }); // of its own: others' parameters may be collected at any time
