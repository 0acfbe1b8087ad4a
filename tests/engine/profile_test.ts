import { addGradients } from "../../engine/gradients.ts";
import { type Device, linear, softmax } from "../../engine/mod.ts";
import { describeClock, Profile, type ProfiledDispatch, wallClock } from "../../engine/profile.ts";
import { leastTime, type Roofline } from "../../engine/roofline.ts";
import { testValues } from "../gradcheck.ts";
import { assert, assertClose, assertEquals, gpuTest, test } from "../harness.ts";

/** A step of three kernels, one of them twice. */
function step(device: Device): () => unknown {
  const x = device.tensor(testValues(64 * 96, 1), [64, 96]);
  const w = device.tensor(testValues(96 * 96, 2), [96, 96]);
  return () => addGradients(softmax(linear(softmax(x), w)), x);
}

const KERNELS = ["softmax", "matmul", "softmax", "add_gradients"];

/** What must hold of the profile of `step`, however its times were taken. */
function assertProfile(profile: Profile, device: Device): void {
  assertEquals(profile.dispatches.map((d) => d.name.split("[")[0]), KERNELS);
  assert(profile.dispatches.every((d) => d.place.startsWith("at ")));
  assert(profile.ms > 0);
  const rows = profile.rows(), { roofline } = profile;
  assertEquals(rows.map((row) => row.calls).sort(), [1, 1, 2]);
  const matmul = rows.find((row) => row.name.startsWith("matmul"))!;
  assertEquals([matmul.flops, matmul.bytes], [64 * 96 * 96 * 2, 4 * (2 * 64 * 96 + 96 * 96)]);
  assertClose([rows.reduce((sum, row) => sum + row.share, 0)], [1], { atol: 1e-9 });
  assert(roofline !== null && roofline.gflops > 0.01 && roofline.gbs > 0.01);
  for (const { name, ms, roofline: share } of rows) {
    const least = profile.dispatches.filter((d) => d.name === name)
      .reduce((sum, d) => sum + leastTime(d, roofline).ms, 0);
    if (ms > 0) assertClose([share!], [least / ms], { rtol: 1e-9 });
  }
  for (const part of [device.label, "roofline: ", "bound by", "GFLOP/s", matmul.name]) {
    assert(profile.table().includes(part), `${part} is not in\n${profile.table()}`);
  }
}

gpuTest(
  "profile() lists kernels with their work and their share of the roofline",
  async (device) => {
    const profile = await device.profile(step(device));
    assertProfile(profile, device);
    assert(await device.roofline() === profile.roofline, "it is measured once");
    const data = JSON.parse(JSON.stringify(profile));
    assertEquals([data.adapter, data.dispatches.length], [device.label, 4]);
    assertEquals(data.rows, profile.rows());
    const { traceEvents } = JSON.parse(profile.chromeTrace());
    const events = traceEvents.filter((event: { ph: string }) => event.ph === "X");
    assertEquals(events.length, 4);
    assertEquals(events[1].name, profile.dispatches[1].name);
    assertClose([events[1].dur], [1000 * profile.dispatches[1].ms], { rtol: 1e-9 });
    assert(events[1].args.roofline > 0 && events[1].args.bound.length > 0);
  },
);

gpuTest("profile() leaves the roofline out where it is not wanted", async (device) => {
  const profile = await device.profile(step(device), { roofline: false });
  assertEquals(profile.roofline, null);
  assert(!profile.table().includes("roofline"), profile.table());
  assertEquals(profile.rows()[0].roofline, null);
});

gpuTest("profile() says so where there are no timestamps", async (device) => {
  const run = step(device);
  await device.sync();
  const before = device.memory.liveBuffers;
  const profile = await device.profile(() => void run());
  assertProfile(profile, device);
  assertEquals(profile.roofline!.clock, "wall clock");
  assert(/has no timestamp queries.* limits: "default"/.test(profile.table()), profile.table());
  assertEquals(device.memory.liveBuffers, before);
}, { device: { limits: "default" } });

const ROOFLINE: Roofline = { gflops: 100, gbs: 10, clock: "timestamps" };
const made = (name: string, ms: number, flops: number, bytes: number): ProfiledDispatch => ({
  name,
  ms,
  start: 0,
  flops,
  bytes,
  params: {},
  place: "at here",
});

test("the share of the roofline is the least time by the time taken", () => {
  assertEquals(leastTime({ flops: 2e8, bytes: 1e6 }, ROOFLINE), { ms: 2, bound: "arithmetic" });
  assertEquals(leastTime({ flops: 1e6, bytes: 5e7 }, ROOFLINE), { ms: 5, bound: "memory" });
  const dispatches = [made("a", 10, 2e8, 1e6), made("b", 4, 1e6, 1e7), made("b", 6, 0, 4e7)];
  const [a, b] = new Profile("adapter", dispatches, { note: "", step: 0 }, ROOFLINE).rows();
  assertEquals([a.roofline, a.bound, a.gflops], [0.2, "arithmetic", 20]);
  assertEquals([b.roofline, b.bound, b.gbs, b.calls], [0.5, "memory", 5, 2]);
});

test("rounded and standing clocks are told, exact ones not", () => {
  assertEquals(describeClock([1000003n, 1200001n, 1300007n, 1450012n]), { note: "", step: 0 });
  const browser = describeClock([500_000n, 700_000n, 700_000n, 1_200_000n]);
  assertEquals(browser.step, 0.1);
  assert(browser.note.startsWith("timestamps are rounded to 100 us"), browser.note);
  const binary = describeClock([65536n * 7n, 65536n * 9n, 65536n * 9n, 65536n * 12n]);
  assert(binary.note.startsWith("timestamps are rounded to 65.5 us"), binary.note);
  assert(describeClock([0n, 0n, 0n, 0n]).note.includes("clock does not run"));
  assertEquals(describeClock([]), { note: "", step: 0 });
});

test("what a rounded clock cannot tell is marked in the table", () => {
  const dispatches = [made("long", 100, 1e9, 1e6), made("short", 0.1, 1e6, 1e6)];
  const clock = { note: "timestamps are rounded to 100 us", step: 0.1 };
  const profile = new Profile("adapter", dispatches, clock, ROOFLINE);
  const [long, short] = profile.rows();
  assertEquals([long.rough, short.rough], [false, true]);
  const lines = profile.table().split("\n");
  assert(lines.includes(clock.note));
  assert(!lines.at(-2)!.includes("~") && lines.at(-1)!.includes("~0.100"), lines.join("\n"));
  assertEquals(wallClock([made("a", 3, 0, 0), made("b", 2, 0, 0)]).step, 2);
});
