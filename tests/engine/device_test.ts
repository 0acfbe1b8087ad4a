import { addGradients } from "../../engine/gradients.ts";
import { noGrad, ShapeError } from "../../engine/mod.ts";
import { reshape } from "../../engine/ops/reshape.ts";
import { assert, assertEquals, assertRejects, assertThrows, gpuTest } from "../harness.ts";

gpuTest(
  "device.tensor() takes nested numbers and typed arrays, and data() returns them",
  async (device) => {
    assertEquals(await device.tensor([[1, 2], [3, 4.5]]).data(), Float32Array.of(1, 2, 3, 4.5));
    assertEquals(await device.tensor(Int32Array.of(-1, 7)).data(), Int32Array.of(-1, 7));
    assertEquals(await device.tensor(Uint32Array.of(0xffffffff), []).item(), 0xffffffff);
  },
);

gpuTest("device.tensor() names the sizes when values and shape differ", (device) => {
  assertThrows(
    () => device.tensor([1, 2, 3], [2, 2]),
    ShapeError,
    "3 values do not fill shape [2, 2]",
  );
  assertThrows(() => device.tensor(Float32Array.of(1), [-1]), ShapeError);
});

gpuTest("device.full() writes any bit pattern over more than 65,535 workgroups", async (device) => {
  const size = 65536 * 64 + 3;
  const values = await device.full([size], -2.5).data();
  assert(values.every((v) => v === -2.5), "a value was not written");
});

gpuTest("a step returns values and awaits the reads asked for inside", async (device) => {
  const a = device.tensor([1, 2]), b = device.tensor([10, 20]);
  const sum = await device.step(() => addGradients(a, b).data());
  assertEquals(sum, Float32Array.of(11, 22));
});

gpuTest("reshape() computes one -1, shares memory and refuses other sizes", async (device) => {
  const x = device.tensor([1, 2, 3, 4, 5, 6]);
  assertEquals(reshape(x, [2, -1]).shape, [2, 3]);
  assertEquals(await reshape(x, [3, 2]).data(), await x.data());
  assertThrows(() => reshape(x, [4, -1]), ShapeError, "6 elements and cannot become [4, -1]");
});

gpuTest("backward() through a reshape reaches the leaf, and not inside noGrad", async (device) => {
  const x = device.tensor([1, 2, 3, 4], [4], { requiresGrad: true });
  reshape(x, [2, 2]).backward(device.tensor([[5, 6], [7, 8]]));
  assertEquals(await x.grad!.data(), Float32Array.of(5, 6, 7, 8));
  assert(!noGrad(() => reshape(x, [2, 2])).requiresGrad);
});

gpuTest("item() refuses a tensor with several elements", async (device) => {
  await assertRejects(async () => await device.tensor([1, 2]).item(), ShapeError, "needs 1");
});

gpuTest(
  "warmUp() compiles a step's kernels one by one, runs nothing, and reports each",
  async (device) => {
    const a = device.tensor([1, 2]);
    await device.sync();
    const { dispatches, pipelines } = device.stats;
    const seen: string[] = [];
    const step = () => addGradients(addGradients(a, a), a);
    await device.warmUp(step, (done, total, kernel) => seen.push(`${done}/${total} ${kernel}`));
    assertEquals(device.stats.dispatches, dispatches);
    assertEquals(seen, ["1/1 add_gradients[readable]"]);
    assertEquals(device.stats.pipelines, pipelines + 1);
    await device.warmUp(step, () => seen.push("again"));
    assertEquals(seen.length, 1);
  },
  { device: {} },
);
