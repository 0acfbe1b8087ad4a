/** `wgrad export`, from a checkpoint to what ONNX Runtime says, and its complaints. */
import { PROJECT_ROOT, quietDriverEnvironment, run } from "../../cli/system.ts";
import { loadWeights } from "../../cli/weights.ts";
import { noGrad } from "../../engine/mod.ts";
import { VisionTransformer } from "../../models/mod.ts";
import { testValues } from "../gradcheck.ts";
import { assert, assertClose, assertEquals, denoTest, gpuTest } from "../harness.ts";
import { runInOnnxRuntime } from "../onnx/ort.ts";

const WEIGHTS = "weights/fashion_mnist_vit";

async function exported(...args: string[]): Promise<{ code: number; stdout: string; err: string }> {
  const { code, stdout, stderr } = await run(
    [Deno.execPath(), "run", "-A", "cli/wgrad.ts", "export", ...args],
    { cwd: PROJECT_ROOT, env: { NO_COLOR: "1", ...quietDriverEnvironment() } },
  );
  return { code, stdout, err: stderr };
}

gpuTest("wgrad export: the committed ViT says the same in ONNX Runtime", async (device) => {
  const { model: settings } = JSON.parse(
    await Deno.readTextFile(`${PROJECT_ROOT}${WEIGHTS}.json`),
  );
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/model.json`, JSON.stringify(settings));
    const out = `${folder}/new/model.onnx`;
    const from = ["--from", `${WEIGHTS}.safetensors`, "--model", `${folder}/model.json`];
    const { code, stdout, err } = await exported(...from, "--out", out, "--opset", "21");
    assertEquals(code, 0, err);
    assert(/model\.onnx: 1\.2 MB, opset 21/.test(stdout), stdout);

    const model = new VisionTransformer(settings);
    model.loadStateDict(await loadWeights(`${PROJECT_ROOT}${WEIGHTS}.safetensors`));
    (await model.to(device)).eval();
    const dims = [2, 1, 28, 28], data = testValues(2 * 784);
    const want = await device.step(() =>
      noGrad(() => model.forward(device.tensor(data, dims)).data())
    );
    const [{ logits }] = await runInOnnxRuntime([{ bytes: await Deno.readFile(out), dims, data }]);
    assertClose(logits.data, await want, { atol: 1e-4, name: "logits" });
    model.dispose();

    const other = await exported(...from, "--out", `${folder}/other.onnx`, "--classes", "7");
    assertEquals([other.code, /say --classes 10/.test(other.err)], [2, true], other.err);
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), [
      "model.json",
      "new",
    ]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}, { timeout: 300 }); // it may have to fetch ONNX Runtime

denoTest("wgrad export tells what is missing and what does not fit", async () => {
  const out = ["--out", "/nowhere/model.onnx"], from = ["--from", `${WEIGHTS}.safetensors`];
  const gaze = ["--model", "mcgaze_small"];
  const cases: [args: string[], code: number, told: RegExp][] = [
    [from, 2, /needs --from and --out/],
    [[...from, ...out], 2, /does not say which model it is; name it with --model/],
    [[...from, ...out, "--model", "V-JetMoE-X"], 1, /there is no model "V-JetMoE-X"/],
    [[...from, ...out, ...gaze], 1, /not the weights of this McGaze.*\n.*missing/],
    [[...from, ...out, ...gaze, "--opset", "16"], 1, /opset is 16, needs one from 17 to 21/],
  ];
  for (const [args, code, told] of cases) {
    const got = await exported(...args);
    assertEquals([got.code, told.test(got.err)], [code, true], got.err);
  }
});
