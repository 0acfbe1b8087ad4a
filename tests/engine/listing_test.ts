import { addGradients } from "../../engine/gradients.ts";
import { assertEquals, gpuTest } from "../harness.ts";

gpuTest("explain() lists kernels, shapes and frees without running anything", async (device) => {
  const a = device.tensor([[1, 2], [3, 4]], undefined, { label: "a" });
  await device.sync();
  const { dispatches } = device.stats;
  const text = await device.explain(() => {
    let t = addGradients(a, a);
    t = addGradients(t, a);
    return addGradients(t, t);
  });
  assertEquals(
    text,
    `   1  add_gradients[readable]  a#1 [2,2], a#1 [2,2] -> gradient#2 [2,2]
   2  add_gradients[readable]  gradient#2 [2,2], a#1 [2,2] -> gradient#3 [2,2]   frees gradient#2
   3  add_gradients[readable]  gradient#3 [2,2], gradient#3 [2,2] -> gradient#4 [2,2]   frees gradient#3
3 dispatches, peak of intermediates 32 bytes`,
  );
  assertEquals(device.stats.dispatches, dispatches);
});
