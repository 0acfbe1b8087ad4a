/** The committed weights are those of the recipe: what stands beside them is what the code would do today. */
import { DENSE, TRAINING } from "../../cli/demo/recipe.ts";
import { PROJECT_ROOT } from "../../cli/system.ts";
import { loadWeights } from "../../cli/weights.ts";
import { VisionTransformer } from "../../models/mod.ts";
import { assert, assertEquals, denoTest } from "../harness.ts";

const WEIGHTS = `${PROJECT_ROOT}weights/fashion_mnist_vit`;

denoTest("the record beside the weights is today's recipe", async () => {
  const record = JSON.parse(await Deno.readTextFile(`${WEIGHTS}.json`));
  assertEquals(record.model, { ...DENSE });
  const training = { ...TRAINING };
  for (const [name, value] of Object.entries(training)) assertEquals(record.training[name], value);
  assertEquals(record.command, "deno task pretrain", "made with the defaults");
  assert(record.accuracy > 0.8 && record.heldOut === 10_000, JSON.stringify(record));
});

denoTest("the weights fit the model and take less than 2 MB", async () => {
  assert((await Deno.stat(`${WEIGHTS}.safetensors`)).size < 2e6);
  const report = new VisionTransformer(DENSE).loadStateDict(
    await loadWeights(`${WEIGHTS}.safetensors`),
  );
  assertEquals([report.missing, report.unexpected, report.wrongShape], [[], [], []]);
});
