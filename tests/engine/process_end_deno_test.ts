import { assert, assertEquals, denoTest } from "../harness.ts";

const ENGINE = new URL("../../engine/mod.ts", import.meta.url).href;

/** Runs a program in a process of its own; its output and how long it stayed after it said "done". */
async function runProgram(body: string): Promise<{ code: number; out: string; lingered: number }> {
  const source = `import { add, requestDevice } from ${JSON.stringify(ENGINE)};\n${body}\n` +
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
