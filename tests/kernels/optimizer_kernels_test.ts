/** The kernels that run over arenas (AdamW, SGD, global norm) against their plain loops, and the arena's layout. */
import type { Device, Tensor } from "../../engine/mod.ts";
import { run } from "../../engine/dispatch.ts";
import { adamw, adamwReference } from "../../kernels/adamw.ts";
import { arenaLayout, blockTable } from "../../kernels/arena_layout.ts";
import {
  normOfPartials,
  normOfPartialsReference,
  normOfStrips,
  normOfStripsReference,
  normStrips,
} from "../../kernels/global_norm.ts";
import { sgd, sgdReference } from "../../kernels/sgd.ts";
import { testValues } from "../gradcheck.ts";
import { assertClose, assertEquals, gpuTest, test } from "../harness.ts";

test("arenaLayout() starts each tensor at a block and never cuts one that fits", () => {
  const layout = arenaLayout([100, 10, 64, 1, 0], 4 * 192);
  assertEquals(layout.spans, [
    { buffer: 0, start: 0, floats: 128 },
    { buffer: 0, start: 128, floats: 64 },
    { buffer: 1, start: 0, floats: 64 },
    { buffer: 1, start: 64, floats: 64 },
    { buffer: 1, start: 128, floats: 0 },
  ]);
  assertEquals(layout.buffers, [192, 128]);
  assertEquals(layout.windows, [
    { buffer: 0, start: 0, floats: 192 },
    { buffer: 1, start: 0, floats: 128 },
  ]);
  assertEquals(blockTable(layout, layout.windows[0]), Uint32Array.of(0, 0, 1));
  assertEquals(blockTable(layout, layout.windows[1]), Uint32Array.of(2, 3));
});

test("arenaLayout() gives a tensor over the binding limit a buffer of several windows", () => {
  const layout = arenaLayout([64, 300, 64], 4 * 130);
  assertEquals(layout.buffers, [64, 320, 64]);
  assertEquals(layout.windows, [
    { buffer: 0, start: 0, floats: 64 },
    { buffer: 1, start: 0, floats: 128 },
    { buffer: 1, start: 128, floats: 128 },
    { buffer: 1, start: 256, floats: 64 },
    { buffer: 2, start: 0, floats: 64 },
  ]);
  assertEquals(layout.windows.map((window) => [...blockTable(layout, window)]), [
    [0],
    [1, 1],
    [1, 1],
    [1],
    [2],
  ]);
});

// Blocks: one; a workgroup; one more than a workgroup; several strips of the norm and a rest.
const FLOATS = [64, 1024, 1024 + 64, 3 * 16384 + 192];
const config = { beta1: 0.9, beta2: 0.999, eps: 1e-8 };

function arrays(floats: number): { [name in "p" | "m" | "v" | "g"]: Float32Array } & {
  blocks: Uint32Array<ArrayBuffer>;
  spans: Float32Array<ArrayBuffer>;
} {
  const spans = Math.min(3, floats / 64);
  return {
    p: testValues(floats, 1),
    m: testValues(floats, 2).map((x) => 0.1 * x),
    v: testValues(floats, 3).map((x) => 0.01 * x * x),
    g: testValues(floats, 4),
    blocks: Uint32Array.from({ length: floats / 64 }, (_, i) => i % spans),
    // decay factor, rate, bias correction, active: span 1 has no gradient
    spans: Float32Array.of(0.999, 0.01, 0.3, 1, 0.5, 0.5, 0.5, 0, 1, 0.002, 0.9, 1)
      .slice(0, 4 * spans),
  };
}

function upload(
  device: Device,
  values: Readonly<Record<string, Float32Array | Uint32Array>>,
): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(values).map(([name, data]) => [name, device.tensor(data)]),
  );
}

for (const floats of FLOATS) {
  for (const clip of [false, true]) {
    gpuTest(`adamw over ${floats} floats${clip ? ", clipped" : ""}`, async (device) => {
      const host = arrays(floats);
      const { p, m, v } = await device.step(() => {
        const t = upload(device, { ...host, clip: Float32Array.of(0.25) });
        run(adamw({ floats, spans: host.spans.length / 4, clip }, config), t);
        return { p: t.p.data(), m: t.m.data(), v: t.v.data() };
      });
      const want = adamwReference(host, config, clip ? 0.25 : 1);
      assertClose(await m, want.m, { atol: 1e-6, rtol: 1e-6 });
      assertClose(await v, want.v, { atol: 1e-7, rtol: 1e-6 });
      assertClose(await p, want.p, { atol: 1e-6, rtol: 1e-6 });
    });

    for (const [momentum, nesterov] of [[0, false], [0.9, false], [0.9, true]] as const) {
      const name = `sgd over ${floats} floats, momentum ${momentum}${nesterov ? " nesterov" : ""}`;
      gpuTest(`${name}${clip ? ", clipped" : ""}`, async (device) => {
        const { p, m: b, g, blocks, spans } = arrays(floats);
        const host = { p, b, g, blocks, spans };
        const got = await device.step(() => {
          const t = upload(device, { ...host, clip: Float32Array.of(0.25) });
          run(sgd({ floats, spans: spans.length / 4, clip }, { momentum, nesterov }), t);
          return { p: t.p.data(), b: t.b.data() };
        });
        const want = sgdReference(host, { momentum, nesterov }, clip ? 0.25 : 1);
        assertClose(await got.b, want.b, { atol: 1e-6, rtol: 1e-6 });
        assertClose(await got.p, want.p, { atol: 1e-6, rtol: 1e-6 });
      });
    }
  }

  gpuTest(`global norm over ${floats} floats, the same bits twice`, async (device) => {
    const { g, blocks, spans } = arrays(floats);
    const active = Float32Array.from({ length: spans.length / 4 }, (_, i) => spans[4 * i + 3]);
    g.fill(NaN, 64, Math.min(128, floats)); // span 1 has no gradient: what lies there must not count
    const shape = { floats, spans: active.length, clip: false };
    const measure = () => {
      const t = upload(device, { g, blocks, active_spans: active });
      const partials = device.empty([normStrips(floats)]);
      run(normOfStrips(shape, 0, partials.size), { ...t, partials });
      const norm = device.empty([1]), coefficient = device.empty([1]);
      run(normOfPartials(partials.size, 5), { partials, norm, coefficient });
      return { norm: norm.item(), coefficient: coefficient.item() };
    };
    const [first, second] = await device.step(() => [measure(), measure()]);
    const strips = normOfStripsReference(floats, 0, normStrips(floats), {
      g,
      blocks,
      active_spans: active,
    });
    const want = normOfPartialsReference(strips.partials, 5);
    assertClose([await first.norm, await first.coefficient], [...want.norm, ...want.coefficient], {
      rtol: 1e-6,
    });
    assertEquals(await second.norm, await first.norm);
  });
}

gpuTest("adamw reaches past 65,535 workgroups", async (device) => {
  const floats = 65_536 * 1024 + 64; // 256 MiB an array, which default limits do not bind and a CPU is slow with
  assertEquals(adamw({ floats, spans: 1, clip: false }, config).workgroups, [32769, 2, 1]);
  if (4 * floats > device.target.maxBindingBytes || device.software) return;
  const [first, last] = await device.step(() => {
    const full = (value: number): Tensor => device.full([floats], value);
    const p = full(1), g = full(0.5), m = full(0), v = full(0);
    const blocks = device.zeros([floats / 64], "u32"), spans = device.tensor([1, 0.1, 1, 1]);
    run(adamw({ floats, spans: 1, clip: false }, { beta1: 0, beta2: 0, eps: 0 }), {
      p,
      g,
      m,
      v,
      blocks,
      spans,
    });
    const at = (i: number) =>
      device.read(
        { buffer: p.storage.buffer, offset: 4 * i, bytes: 4 },
        (b) => new Float32Array(b)[0],
      );
    return [at(0), at(floats - 1)];
  });
  assertClose([await first, await last], [0.9, 0.9], { rtol: 1e-6 });
});
