/** Inputs in textures, as the engine copies and binds them: eager, captured, profiled, divided, in halves, accounted for. */
import { type Device, matmul, requestDevice, reshape } from "../../engine/mod.ts";
import {
  assert,
  assertClose,
  assertEquals,
  gpuTest,
  limitsUnderTest,
  pretendTarget,
} from "../harness.ts";
import { halfTest, roundToHalf } from "../half_harness.ts";
import { testValues } from "../gradcheck.ts";

/** Sizes whose factors fill no row of a texture, whole rows, and whole rows and a part of one. */
const SIZES = [
  { m: 192, k: 36, n: 160 },
  { m: 256, k: 64, n: 256 },
  { m: 130, k: 196, n: 132 },
];

type Size = typeof SIZES[number];

function factors(device: Device, { m, k, n }: Size) {
  return {
    a: device.keep(device.tensor(testValues(m * k, 1), [m, k])),
    b: device.keep(device.tensor(testValues(k * n, 2), [k, n])),
  };
}

/** Runs with textures, or without; on any adapter. */
async function asTarget<T>(device: Device, texels: boolean, fn: () => Promise<T>): Promise<T> {
  const restore = pretendTarget(device, { adapterClass: "software", texels });
  try {
    return await fn();
  } finally {
    restore();
  }
}

const product = (a: ArrayLike<number>, b: ArrayLike<number>, { m, k, n }: Size): Float64Array =>
  Float64Array.from({ length: m * n }, (_, at) => {
    const i = Math.floor(at / n), j = at % n;
    let sum = 0;
    for (let s = 0; s < k; s++) sum += a[i * k + s] * b[s * n + j];
    return sum;
  });

gpuTest("a product through textures is right, and its kernel says how it reads", async (device) => {
  for (const size of SIZES) {
    const { a, b } = factors(device, size);
    const want = product(testValues(size.m * size.k, 1), testValues(size.k * size.n, 2), size);
    const { got, names } = await asTarget(device, true, async () => ({
      got: await device.step(() => matmul(a, b).data()),
      names: (await device.profile(() => void matmul(a, b), { roofline: false })).dispatches,
    }));
    assertClose(got, want, { atol: 1e-4, rtol: 1e-5, name: JSON.stringify(size) });
    assert(names[0].name.endsWith("textures]"), names[0].name);
    for (const tensor of [a, b]) tensor.dispose();
  }
});

gpuTest("a captured step copies anew each time it runs", async (device) => {
  const size = SIZES[2], { a, b } = factors(device, size);
  await asTarget(device, true, async () => {
    const step = device.capture((x: typeof a) =>
      matmul(matmul(x, b), reshape(b, [size.n, size.k]))
    );
    for (const seed of [3, 4, 3]) {
      const x = testValues(size.m * size.k, seed);
      const got = await (await step([x, [size.m, size.k]])).data();
      const want = await asTarget(
        device,
        false,
        () =>
          device.step(() =>
            matmul(matmul(device.tensor(x, [size.m, size.k]), b), reshape(b, [size.n, size.k]))
              .data()
          ),
      );
      assertClose(got, Float64Array.from(want), { atol: 1e-3, rtol: 1e-5 });
    }
    step.dispose();
  });
  for (const tensor of [a, b]) tensor.dispose();
});

halfTest("halves are read through textures of halves", async (device) => {
  const size = SIZES[1], { m, k, n } = size;
  const [x, y] = [roundToHalf(testValues(m * k, 1)), roundToHalf(testValues(k * n, 2))];
  const a = device.tensor(Float16Array.from(x), [m, k]),
    b = device.tensor(Float16Array.from(y), [k, n]);
  const got = await asTarget(device, true, () => device.step(() => matmul(a, b).data()));
  const want = product(x, y, size);
  assertClose(got, want, { atol: 2e-2, rtol: 1e-3 }); // the result is stored as halves
});

gpuTest("textures count as reserved memory and are used again", async () => {
  using device = await requestDevice({ limits: limitsUnderTest() });
  const { a, b } = factors(device, SIZES[0]);
  await asTarget(device, true, async () => {
    const run = () => device.step(() => matmul(a, b).data());
    const before = await asTarget(device, false, async () => (await run(), device.memory));
    await run();
    const first = device.memory;
    assertEquals(first.reservedBytes - before.reservedBytes, 2 * 16 * 1024 * 2); // two of 2 rows
    for (let i = 0; i < 3; i++) await run();
    assertEquals(device.memory.reservedBytes, first.reservedBytes);
    assertEquals(device.memory.liveBytes, before.liveBytes);
  });
});

gpuTest("trim() gives textures back, but for those of captured steps, which go on", async () => {
  using device = await requestDevice({ limits: limitsUnderTest() });
  const size = SIZES[1], { a, b } = factors(device, size);
  await asTarget(device, true, async () => {
    const captured = device.capture((x: typeof a) => matmul(x, b));
    const x = testValues(size.m * size.k, 1), shape = [size.m, size.k];
    const want = await (await captured([x, shape])).data();
    await device.step(() => matmul(matmul(a, b), reshape(b, [size.n, size.k])).data()); // other sizes
    const before = device.memory.reservedBytes;
    device.trim();
    assert(device.memory.reservedBytes < before);
    assertEquals(await (await captured([x, shape])).data(), want);
    assertEquals(await device.step(() => matmul(a, b).data()), want);
    captured.dispose();
    await device.sync();
    for (const tensor of [a, b]) tensor.dispose();
    await device.sync();
    device.trim();
    assertEquals(device.memory.reservedBytes, device.memory.liveBytes);
  });
});
