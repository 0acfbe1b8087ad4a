import { selfTestKernel, selfTestReference, selfTestSeed } from "../../kernels/self_test.ts";
import { run } from "../../engine/dispatch.ts";
import { GpuError, requestDevice } from "../../engine/mod.ts";
import { assertEquals, assertRejects, gpuTest, test } from "../harness.ts";

gpuTest("the self-test's kernel gives its known answers", async (device) => {
  const result = await device.step(() => {
    const seed = device.tensor(selfTestSeed());
    const result = device.empty([256], "u32");
    run(selfTestKernel(), { seed, result });
    return result.data();
  });
  assertEquals(result, selfTestReference(selfTestSeed()).result);
});

/** An adapter whose shaders lose the barrier-separated reversal, as a miscompiling driver might. */
async function wrongAdapter(): Promise<GPUAdapter> {
  const adapter = (await navigator.gpu.requestAdapter())!;
  const info = { vendor: "test", architecture: "", device: "wrong", description: "wrong adapter" };
  return new Proxy(adapter, {
    get(target, key) {
      if (key === "info") return info;
      if (key !== "requestDevice") {
        const value = Reflect.get(target, key);
        return typeof value === "function" ? value.bind(target) : value;
      }
      return async (descriptor: GPUDeviceDescriptor): Promise<GPUDevice> => {
        const device = await target.requestDevice(descriptor);
        const create = device.createShaderModule.bind(device);
        device.createShaderModule = (module) =>
          create({ ...module, code: module.code.replace("c[63u - t]", "c[t]") });
        return device;
      };
    },
  });
}

test("a driver that computes wrong answers is refused by name, unless told otherwise", async () => {
  const device = await requestDevice({ adapter: await wrongAdapter() });
  await assertRejects(
    () => device.tensor([1]).data(),
    GpuError,
    "wrong adapter [hardware] computes a barrier wrongly",
  );
  await assertRejects(() => device.step(() => device.zeros([1])), GpuError, "selfTest: false");
  device.destroy();
  const trusting = await requestDevice({ adapter: await wrongAdapter(), selfTest: false });
  assertEquals(await trusting.tensor([1]).data(), Float32Array.of(1));
  trusting.destroy();
}, { allowLeaks: true }); // what was begun on the refused device ends after it
