import { run } from "../../engine/dispatch.ts";
import type { Device, HostArray, Tensor } from "../../engine/mod.ts";
import {
  attentionInputBackward,
  attentionScores,
  attentionScoresBackward,
  attentionSoftmax,
  attentionValues,
} from "../../kernels/attention.ts";
import {
  attentionBackwardReference,
  attentionReference,
  type AttentionShape,
  attentionSizes,
} from "../../kernels/attention_reference.ts";
import {
  attentionOnline,
  attentionOnlineBackwardKV,
  attentionOnlineBackwardQ,
  type AttentionTiling,
} from "../../kernels/attention_online.ts";
import { attentionVariant } from "../../kernels/attention_variant.ts";
import { DEFAULT_TARGET } from "../../kernels/target.ts";
import { testValues } from "../gradcheck.ts";
import { assert, assertClose, assertEquals, gpuTest, test } from "../harness.ts";

interface Results {
  out: HostArray;
  lse: HostArray;
  dqkv: HostArray;
}

interface Inputs {
  shape: AttentionShape;
  scale: number;
  qkv: ArrayLike<number>;
  dOut: ArrayLike<number>;
}

function inputs(
  batch: number,
  tokens: number,
  heads: number,
  headDim: number,
  gain = 1,
): Inputs {
  const shape = { batch, tokens, heads, headDim };
  const { out } = attentionSizes(shape);
  const qkv = testValues(3 * out, 5).map((x) => gain * x);
  return { shape, scale: 1 / Math.sqrt(headDim), qkv, dOut: testValues(out, 6) };
}

/** Runs forward and backward, with the online kernels of a tiling or with the readable ones. */
async function runKernels(
  device: Device,
  { shape, scale, qkv: hostQkv, dOut: hostDOut }: Inputs,
  tiling: AttentionTiling | "readable",
): Promise<Results> {
  const { rows, pairs, out: size } = attentionSizes(shape);
  const results = await device.step(() => {
    const qkv = device.tensor(Float32Array.from(hostQkv));
    const dOut = device.tensor(Float32Array.from(hostDOut));
    const empty = (count: number): Tensor => device.empty([count]);
    const out = empty(size), lse = empty(rows), dqkv = empty(3 * size);
    if (tiling === "readable") {
      const s = empty(pairs), p = empty(pairs), ds = empty(pairs);
      run(attentionScores(shape, scale), { qkv, s });
      run(attentionSoftmax(shape), { s, lse });
      run(attentionValues(shape), { qkv, p: s, out });
      run(attentionScoresBackward(shape, scale), { qkv, out, dOut, lse, p, ds });
      run(attentionInputBackward(shape, scale), { qkv, dOut, p, ds, dqkv });
    } else {
      const delta = empty(rows);
      run(attentionOnline(shape, scale, tiling), { qkv, out, lse });
      run(attentionOnlineBackwardQ(shape, scale, tiling), { qkv, out, dOut, lse, delta, dqkv });
      run(attentionOnlineBackwardKV(shape, scale, tiling), { qkv, dOut, lse, delta, dqkv });
    }
    return [out.data(), lse.data(), dqkv.data()];
  });
  const [out, lse, dqkv] = await Promise.all(results);
  return { out, lse, dqkv };
}

function registers(headDim: number, rows: number, size = 8, width?: 1 | 4): AttentionTiling {
  width ??= headDim % 4 === 0 ? 4 : 1;
  return { width, vectors: headDim / width, rows, tile: 0, size };
}

function tiled(headDim: number, tile: number, size = 64, rows = 1): AttentionTiling {
  const width = headDim % 4 === 0 ? 4 : 1;
  return { width, vectors: headDim / width, rows, tile, size };
}

const label = (t: AttentionTiling): string =>
  `${
    t.tile > 0 ? `tile ${t.tile}` : "registers"
  }, ${t.rows} rows, ${t.size} invocations, width ${t.width}`;

function assertAgree(got: Results, want: Results, name: string): void {
  for (const key of ["out", "lse", "dqkv"] as const) {
    assertClose(got[key], want[key], { atol: 2e-5, rtol: 1e-4, name: `${name}: ${key}` });
  }
}

gpuTest("attention kernels to read match float64, forward and backward", async (device) => {
  for (const input of [inputs(2, 1, 1, 1), inputs(2, 17, 3, 5), inputs(1, 65, 2, 8)]) {
    const { shape, scale, qkv, dOut } = input;
    const got = await runKernels(device, input, "readable");
    const { out, lse } = attentionReference(qkv, shape, scale);
    assertClose(got.out, out, { atol: 1e-5, rtol: 1e-5, name: "out" });
    assertClose(got.lse, lse, { atol: 1e-5, rtol: 1e-5, name: "lse" });
    const { dqkv } = attentionBackwardReference(qkv, dOut, shape, scale);
    assertClose(got.dqkv, dqkv, { atol: 2e-5, rtol: 1e-4, name: "dqkv" });
  }
});

const TOKENS = [1, 2, 3, 17, 49, 65, 131];
const VARIANTS: [headDim: number, tilings: AttentionTiling[]][] = [
  [1, [registers(1, 1), registers(1, 8), tiled(1, 64)]],
  [5, [registers(5, 6), tiled(5, 7, 32)]],
  [8, [
    registers(8, 7),
    registers(8, 3, 4),
    registers(8, 2, 8, 1),
    tiled(8, 32),
    tiled(8, 5, 16, 2),
  ]],
  [16, [registers(16, 7), tiled(16, 64)]],
  [64, [registers(64, 2), tiled(64, 16)]],
];

for (const [headDim, tilings] of VARIANTS) {
  for (const tiling of tilings) {
    gpuTest(
      `attention online (${label(tiling)}) agrees with readable at Dh ${headDim}`,
      async (device) => {
        for (const tokens of TOKENS) {
          const input = inputs(2, tokens, tokens % 2 === 0 ? 1 : 3, headDim);
          const want = await runKernels(device, input, "readable");
          const got = await runKernels(device, input, tiling);
          assertAgree(got, want, `N ${tokens}`);
        }
      },
    );
  }
}

gpuTest("attention kernels stay finite with logits of 50 and beyond", async (device) => {
  const input = inputs(1, 33, 2, 8, 7); // scores up to 7 * 7 * 3 * 8 / sqrt(8), about +-400
  const want = attentionReference(input.qkv, input.shape, input.scale);
  const wantGradient = attentionBackwardReference(input.qkv, input.dOut, input.shape, input.scale);
  let largest = 0;
  for (const x of want.lse) largest = Math.max(largest, Math.abs(x));
  assert(largest > 50, `the largest logsumexp is only ${largest}`);
  for (const tiling of ["readable", registers(8, 7), tiled(8, 32)] as const) {
    const got = await runKernels(device, input, tiling);
    // A score of 200 has an f32 error of 1e-5, which its exponential has relatively; values here are about 12.
    assertClose(got.out, want.out, { atol: 1e-3, rtol: 1e-3, name: "out" });
    assertClose(got.lse, want.lse, { rtol: 1e-5, name: "lse" });
    assertClose(got.dqkv, wantGradient.dqkv, { atol: 1e-2, rtol: 1e-3, name: "dqkv" });
  }
});

gpuTest("attention kernels give equal bits when run again", async (device) => {
  const input = inputs(3, 49, 4, 16);
  for (const tiling of ["readable", registers(16, 7), tiled(16, 64)] as const) {
    const first = await runKernels(device, input, tiling);
    assertEquals(await runKernels(device, input, tiling), first);
  }
});

gpuTest("attention kernels reach beyond 65,535 workgroups", async (device) => {
  const one = inputs(65_537, 1, 1, 1); // one token: out is v
  const v = Float32Array.from({ length: 65_537 }, (_, b) => one.qkv[3 * b + 2]);
  const got = await runKernels(device, one, tiled(1, 1, 1));
  assertClose(got.out, v, { rtol: 1e-6 });
  assertAgree(await runKernels(device, one, registers(1, 1, 1)), got, "registers");
  const many = inputs(1025, 64, 1, 1); // 4.2 M pairs
  assertAgree(
    await runKernels(device, many, "readable"),
    await runKernels(device, many, registers(1, 8)),
    "readable",
  );
});

test("attentionVariant() fits the default limits and knows the shapes in use", () => {
  const software = { ...DEFAULT_TARGET, adapterClass: "software" } as const;
  for (const headDim of [1, 5, 7, 8, 16, 20, 32, 64, 65, 96, 128, 256]) {
    for (const tokens of [1, 3, 49, 197, 1000]) {
      const shape = { batch: 2, tokens, heads: 3, headDim };
      for (const target of [DEFAULT_TARGET, software]) {
        const variant = attentionVariant(shape, target);
        assertEquals(variant.kind, [65, 256].includes(headDim) ? "readable" : "online");
        if (variant.kind === "readable") continue;
        const kernels = [
          attentionOnline(shape, 1, variant.forward),
          attentionOnlineBackwardQ(shape, 1, variant.backwardQ),
          attentionOnlineBackwardKV(shape, 1, variant.backwardKV),
        ];
        for (const { program } of kernels) {
          assert(program.workgroupSize <= target.maxInvocations);
          assert(program.workgroupBytes <= target.maxWorkgroupBytes, `${program.workgroupBytes}`);
          const lines = program.code.split("\n").length;
          assert(lines < 450, `${program.name}[${program.variant}]: ${lines} lines, Dh ${headDim}`);
        }
      }
    }
  }
  const demo = attentionVariant({ batch: 64, tokens: 49, heads: 4, headDim: 16 }, software);
  assert(demo.kind === "online" && demo.forward.rows === 7, "49 tokens go 7 by 7");
});
