import { addGradients } from "../../engine/gradients.ts";
import { NonFiniteError, sqrt } from "../../engine/mod.ts";
import { assert, assertRejects, gpuTest } from "../harness.ts";

gpuTest("detectAnomaly() names the op that made an infinity, and where", async (device) => {
  const big = device.tensor([3e38, 1]), one = device.tensor([1, 1]);
  await assertRejects(
    () =>
      device.detectAnomaly(() => void addGradients(addGradients(one, one), addGradients(big, big))),
    NonFiniteError,
    "add_gradients[readable] made NaN or infinity in its output y",
  );
});

gpuTest("detectAnomaly() names a value that came in from outside", async (device) => {
  const bad = device.tensor([1, NaN], [2], { label: "blocks.0.norm1.weight" });
  const one = device.tensor([1, 1]);
  await assertRejects(
    () => device.detectAnomaly(() => void addGradients(one, bad)),
    NonFiniteError,
    'found NaN or infinity in b ("blocks.0.norm1.weight")',
  );
});

gpuTest("detectAnomaly() lets a finite step pass and leaves its results usable", async (device) => {
  const one = device.tensor([1, 3.4e38]);
  let sum = one;
  await device.detectAnomaly(() => {
    sum = device.keep(addGradients(one, device.zeros([2])));
  });
  assert((await sum.data())[0] === 1);
});

gpuTest(
  "detectAnomaly() points at the forward call of the op whose backward failed",
  async (device) => {
    const x = device.tensor([1, 0], [2], { requiresGrad: true });
    const rootOfAll = () => sqrt(x);
    const step = () => rootOfAll().backward(device.tensor([1, 3e38]));
    const error = await device.detectAnomaly(() => void step()).catch((e) => e);
    assert(error instanceof NonFiniteError, String(error));
    assert(error.message.startsWith("sqrt.backward[readable] made NaN"), error.message);
    assert(error.message.includes("rootOfAll"), error.message);
  },
);
