import { assert, assertEquals, denoTest } from "../harness.ts";

const ENGINE = new URL("../../engine/mod.ts", import.meta.url).href;
const NN = new URL("../../nn/mod.ts", import.meta.url).href;
const SMALL_RUN = new URL("../nn/small_run.ts", import.meta.url).href;

/** Runs a program in a process of its own; its output and how long it stayed after it said "done". */
async function runProgram(body: string): Promise<{ code: number; out: string; lingered: number }> {
  const source = `import { add, requestDevice } from ${JSON.stringify(ENGINE)};\n` +
    `import { train } from ${JSON.stringify(NN)};\n` +
    `import { buildSmallRun } from ${JSON.stringify(SMALL_RUN)};\n${body}\n` +
    `console.log("done", Date.now());`;
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(file, source);
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", file],
    }).output();
    const end = Date.now();
    const out = new TextDecoder().decode(stdout);
    const said = /done (\d+)/.exec(out);
    assert(said !== null, `the program failed: ${out}${new TextDecoder().decode(stderr)}`);
    return { code, out, lingered: end - Number(said[1]) };
  } finally {
    await Deno.remove(file);
  }
}

denoTest("a process ends by itself within 2 seconds after destroy()", async () => {
  const { code, lingered } = await runProgram(`
    const device = await requestDevice();
    const x = device.tensor([1, 2]);
    for (let i = 0; i < 3; i++) await device.step(() => add(x, 1).data());
    device.destroy();`);
  assertEquals(code, 0);
  assert(lingered < 2000, `it stayed for ${lingered} ms`);
});

denoTest(
  "a process ends by itself when the device is never destroyed, reads pending or not",
  async () => {
    const { code, lingered } = await runProgram(`
    const device = await requestDevice();
    const x = device.tensor([1, 2]);
    await device.step(() => add(x, 1).data());
    void device.step(() => add(x, 1).data());`);
    assertEquals(code, 0);
    assert(lingered < 2000, `it stayed for ${lingered} ms`);
  },
);

denoTest("an error that nobody awaits does not end the process", async () => {
  const { code, out } = await runProgram(`
    const device = await requestDevice();
    const x = device.tensor([1, 2]);
    void x.data();
    device.destroy();
    await new Promise((resolve) => setTimeout(resolve, 100));
    console.log("alive");`);
  assertEquals(code, 0);
  assert(out.includes("alive"));
});

denoTest("create, train, dispose twenty times: memory is flat, and the process ends", async () => {
  // A device that kept its memory would hold 16 MiB more each time.
  const { code, out, lingered } = await runProgram(`
    for (let i = 0; i < 20; i++) {
      const device = await requestDevice();
      const ballast = device.full([4 << 20], 1);
      const run = await buildSmallRun(device);
      await train({ ...run, device, batches: run.batches(0) });
      device.destroy();
      console.log("MiB", Math.round(Deno.memoryUsage().rss / 2 ** 20));
    }`);
  assertEquals(code, 0);
  assert(lingered < 2000, `it stayed for ${lingered} ms`);
  const megabytes = [...out.matchAll(/MiB (\d+)/g)].map((match) => Number(match[1]));
  assertEquals(megabytes.length, 20);
  // The driver's own caches grow at first, by about 20 MiB after the fifth device.
  assert(megabytes[19] < megabytes[4] + 64, `the process grew: ${megabytes.join(", ")} MiB`);
});
