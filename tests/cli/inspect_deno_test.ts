import { PROJECT_ROOT } from "../../cli/system.ts";
import { assert, assertEquals, denoTest } from "../harness.ts";

const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const FIXTURES = "tests/io/fixtures";

async function wgrad(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "cli/wgrad.ts", ...args],
    cwd: PROJECT_ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  return { code, out: decode(stdout), err: decode(stderr) };
}

denoTest("wgrad inspect --json --values prints every value", async () => {
  const want = JSON.parse(await Deno.readTextFile(`${FIXTURES}/torch/expected.json`));
  for (const name of ["timm_style", "mmcv_style", "legacy_format"]) {
    const file = `${FIXTURES}/torch/${name}.pth`;
    const { code, out, err } = await wgrad("inspect", file, "--json", "--values");
    assertEquals([code, err], [0, ""]);
    assertEquals(JSON.parse(out), want);
    assertEquals(Object.keys(JSON.parse(out)), Object.keys(want));
  }
  const { out } = await wgrad("inspect", `${FIXTURES}/ok.safetensors`, "--json");
  assertEquals(JSON.parse(out), { a: { shape: [3, 4], dtype: "float32" } });
});

denoTest("wgrad inspect keeps long integers and the sign of zero", async () => {
  const { out } = await wgrad("inspect", `${FIXTURES}/torch/odd.pth`, "--json", "--values");
  assert(out.includes("[-9223372036854775808, 9223372036854775807, 9007199254740993]"), out);
  assert(out.includes("[0, -0.0, 1.401298464324817e-45, 3.3999999521443642e+38]"), out);
});

denoTest("wgrad inspect prints a table and what was not used", async () => {
  const { code, out } = await wgrad("inspect", `${FIXTURES}/torch/mmengine.pth`);
  assertEquals(code, 0);
  assertEquals(out.split("\n"), [
    `${FIXTURES}/torch/mmengine.pth: PyTorch, zip format; the state dict is state_dict`,
    "  fc.weight               float32   [2, 3]",
    "  fc.bias                 float32   [2]",
    "  bn.weight               float32   [2]",
    "  bn.bias                 float32   [2]",
    "  bn.running_mean         float32   [2]",
    "  bn.running_var          float32   [2]",
    "  bn.num_batches_tracked  int64     []",
    "7 tensors, 17 elements, 72 bytes",
    "not used: meta, message_hub, optimizer, param_schedulers",
    "dropped; nothing of a file is called:",
    "  meta.seed: numpy.core.multiarray.scalar",
    "  meta.dataset_meta.CLASSES: __builtin__.set",
    "  message_hub: mmengine.logging.message_hub.MessageHub",
    "",
  ]);
  const ema = await wgrad("inspect", `${FIXTURES}/torch/timm_training.pth`, "--part", "model_ema");
  assert(ema.out.includes("the state dict is model_ema"), ema.out);
  assert(ema.out.includes("could be used (--part): model\n"), ema.out);
});

denoTest("wgrad inspect refuses a bad file with one line and code 1", async () => {
  for (const name of ["zip_bomb.pth", "reduce_os_system.pth", "overlap.safetensors", "none.pth"]) {
    const { code, out, err } = await wgrad("inspect", `${FIXTURES}/bad/${name}`, "--values");
    assertEquals([code, out], [1, ""]);
    assert(/^CheckpointError: [^\n]*bad\/[^\n]*\n$/.test(err), err);
  }
});

denoTest("wgrad inspect compares checksums before it prints anything", async () => {
  const bytes = await Deno.readFile(`${FIXTURES}/torch/timm_style.pth`);
  bytes[2000] ^= 1; // in the first storage
  const file = await Deno.makeTempFile({ suffix: ".pth" });
  try {
    await Deno.writeFile(file, bytes);
    const { code, out, err } = await wgrad("inspect", file);
    assertEquals([code, out], [1, ""]);
    assert(err.includes("the checksum is wrong; the file is damaged"), err);
  } finally {
    await Deno.remove(file);
  }
});

denoTest("wgrad says how it is used", async () => {
  const help = await wgrad();
  assertEquals([help.code, help.err], [0, ""]);
  assert(/^ {2}inspect +list the tensors of a checkpoint/m.test(help.out), help.out);
  const unknown = await wgrad("frobnicate");
  assertEquals([unknown.code, unknown.out], [2, ""]);
  assert(unknown.err.startsWith('wgrad: there is no command "frobnicate"'), unknown.err);
  for (const args of [[], ["a", "b"], ["a", "--frob"]]) {
    const { code, err } = await wgrad("inspect", ...args);
    assertEquals(code, 2);
    assert(/^wgrad inspect: [^\n]*; --help lists the options\n$/.test(err), err);
  }
  const { code, out } = await wgrad("inspect", "--help");
  assertEquals(code, 0);
  assert(out.startsWith("Usage: deno task wgrad inspect FILE [--json]"), out);
});
