import { VirtualBuffer } from "../../engine/buffers.ts";
import { type Life, planMemory, type SharedMemory } from "../../engine/planner.ts";
import { AdamW, crossEntropy } from "../../nn/mod.ts";
import { VisionTransformer } from "../../models/vit.ts";
import { type Device, noGrad, type Tensor } from "../../engine/mod.ts";
import { assert, assertEquals, gpuTest, OWN_DEVICE, test } from "../harness.ts";
import { VISION_IMAGES, VisionStep } from "./vision_step.ts";

/** A life from `first` to `last`. */
function life(bytes: number, first: number, last: number, more: Partial<Life> = {}): Life {
  const buffer = new VirtualBuffer(bytes, `${bytes} bytes`);
  return { buffer, first, last, pinned: false, apart: new Set(), ...more };
}

/** Two lives that some record uses together. */
function apart(a: Life, b: Life): [Life, Life] {
  return [{ ...a, apart: new Set([b.buffer]) }, { ...b, apart: new Set([a.buffer]) }];
}

const bytesOf = (plan: readonly SharedMemory[]) => plan.map(({ bytes }) => bytes);

test("planMemory() lets lives that follow each other share, and others lie side by side", () => {
  const large = life(1024, 5, 6);
  assertEquals(bytesOf(planMemory([life(512, 0, 1), life(512, 2, 3)])), [512]);
  assertEquals(bytesOf(planMemory([large, life(512, 0, 4), life(300, 1, 2)])), [1024]);
  assertEquals(bytesOf(planMemory([large, life(512, 0, 5)])), [1024, 512]);
  const [a, b] = apart(large, life(512, 0, 1));
  assertEquals(bytesOf(planMemory([a, b])), [1024, 512]);
  // side by side at multiples of 256; memory grows where that takes less than another buffer, and may
  const grown = [life(2048, 5, 6), life(1500, 0, 4), life(1000, 0, 4)];
  assertEquals(bytesOf(planMemory(grown)), [2536]);
  assertEquals(bytesOf(planMemory(grown, 2400)), [2048, 1000]);
  // a result begins where its GPU buffer does
  const result = life(512, 7, 9, { pinned: true });
  const [{ tenants }] = planMemory([large, life(512, 7, 8), result]);
  assertEquals(tenants.find((t) => t.buffer === result.buffer)!.offset, 0);
});

/** What must hold of any plan: nobody overlaps anybody in time and place, or shares with whom it must not. */
function assertSound(plan: readonly SharedMemory[]): void {
  for (const { bytes, tenants } of plan) {
    for (const [i, t] of tenants.entries()) {
      assert(t.offset % 256 === 0 && t.offset + t.buffer.bytes <= bytes, `${t.offset} in ${bytes}`);
      assert(!t.pinned || t.offset === 0, "a result that does not begin where its GPU buffer does");
      for (const other of tenants.slice(0, i)) {
        assert(!t.apart.has(other.buffer), "used together, one of them written");
        const meet = t.first <= other.last && other.first <= t.last;
        const overlap = t.offset < other.offset + other.buffer.bytes &&
          other.offset < t.offset + t.buffer.bytes;
        assert(!meet || !overlap, "two at one time in one place");
      }
    }
  }
}

type Step = (...inputs: Tensor[]) => unknown;

/** A step's plan, and the bytes that it holds at least at some moment. */
async function planOf(
  device: Device,
  step: Step,
  inputs:
    readonly (readonly [Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>, readonly number[]])[],
): Promise<{ bytes: number; least: number; eager: number }> {
  const { plan, list } = await device.dryRun(({ capture }) => capture(step, inputs));
  assertSound(plan);
  const lives = plan.flatMap(({ tenants }) => tenants);
  const least = Math.max(
    ...list.map((_, i) =>
      lives.reduce((sum, t) => sum + (t.first <= i && i <= t.last ? t.buffer.bytes : 0), 0)
    ),
  );
  const { peakBytes } = await device.estimate(() =>
    void step(...inputs.map(([data, shape]) => device.tensor(data, shape)))
  );
  return {
    bytes: bytesOf(plan).reduce((a, b) => a + b, 0),
    least,
    eager: peakBytes - device.memory.liveBytes,
  };
}

gpuTest(
  "the plans of models are sound, near the least there is, and below eager's peak",
  async (device) => {
    const model = await new VisionTransformer({
      imgSize: 16,
      patchSize: 4,
      inChans: 1,
      embedDim: 32,
      depth: 4,
      numHeads: 4,
      numClasses: 10,
    }).to(device);
    const detector = await new VisionStep().to(device);
    const optimizer = new AdamW(model.namedParameters(), { maxGradNorm: 1 });
    optimizer.zeroGrad();
    await device.step(() =>
      crossEntropy(model.forward(device.zeros([1, 1, 16, 16])), device.zeros([1], "u32")).backward()
    );
    const images = [new Float32Array(8 * 256), [8, 1, 16, 16]] as const;
    const labels = [new Uint32Array(8), [8]] as const;
    const train: Step = (x, y) => {
      optimizer.zeroGrad();
      crossEntropy(model.forward(x), y).backward();
      optimizer.step();
    };
    const detect: Step = (x) => {
      detector.zeroGrad();
      detector.forward(x).backward();
    };
    const maps = [Float32Array.from(VISION_IMAGES.values), VISION_IMAGES.shape] as const;
    const plans = {
      inference: await planOf(device, (x) => noGrad(() => model.forward(x)), [images]),
      training: await planOf(device, train, [images, labels]),
      detection: await planOf(device, detect, [maps]),
    };
    for (const [name, { bytes, least, eager }] of Object.entries(plans)) {
      assert(bytes < 1.1 * least, `${name}: ${bytes} bytes are planned, ${least} are needed`);
      assert(bytes < eager, `${name}: ${bytes} bytes are planned, eager steps hold ${eager}`);
    }
    optimizer.dispose();
    for (const each of [model, detector]) each.dispose();
  },
  OWN_DEVICE,
);
