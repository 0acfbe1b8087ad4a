import { PROJECT_ROOT } from "../../cli/system.ts";
import { assert, assertEquals, denoTest } from "../harness.ts";

const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

async function info(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "cli/wgrad.ts", "info", ...args],
    cwd: PROJECT_ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  return { code, out: decode(stdout), err: decode(stderr) };
}

denoTest("wgrad info predicts what it then measures", async () => {
  const file = await Deno.makeTempFile({ suffix: ".json" });
  try {
    const settings = { preset: "V-JetMoE-T", depth: 2, moeLayers: [1], coreExperts: 4 };
    await Deno.writeTextFile(file, JSON.stringify({ ...settings, univExperts: 8, imgSize: 64 }));
    const { code, out, err } = await info("--model", file, "--batch", "2", "--train", "--json");
    assertEquals(code, 0, err);
    const { parameters, images, predicted, measured } = JSON.parse(out);
    assertEquals(images, [2, 3, 64, 64]);
    assertEquals(measured.loadBytes, predicted.loadBytes);
    // Buffers of scalars take 16 bytes, of everything else their size.
    assert(Math.abs(predicted.loadBytes / (4 * parameters) - 1) < 1e-3, out);
    const ratio = measured.inferenceBytes / predicted.inferenceBytes;
    assert(Math.abs(ratio - 1) <= 0.1, `measured / predicted is ${ratio}`);
    const training = measured.trainingBytes / predicted.trainingBytes;
    assert(Math.abs(training - 1) <= 0.1, `measured / predicted is ${training} in training`);
    assert(predicted.trainingBytes > 4 * predicted.loadBytes, "weights, gradients, two moments");
    // A forward is at least two operations a weight of the dense block and 17 tokens.
    assert(predicted.forwardFlops > 2 * 17 * 2 * 442_368, `${predicted.forwardFlops} FLOP`);
    assert(predicted.trainingFlops > 2 * predicted.forwardFlops, `${predicted.trainingFlops} FLOP`);
  } finally {
    await Deno.remove(file);
  }
});

denoTest("wgrad info tells of a model of a billion parameters without loading it", async () => {
  const { code, out, err } = await info("--model", "V-JetMoE-S", "--no-measure");
  assertEquals([code, err], [0, ""]);
  assert(out.startsWith("V-JetMoE-S: 1,058,124,916 parameters; batch 1"), out);
  assert(/ load +4\.23\d GB\n/.test(out), out);
  assert(out.endsWith("not measured: not asked for\n"), out);
});

denoTest("wgrad info lists the models there are", async () => {
  const { code, err } = await info("--model", "V-JetMoE");
  assertEquals(code, 1);
  assert(err.startsWith('ShapeError: there is no model "V-JetMoE"; there are vit_tiny_'), err);
});
