import { type Device, MismatchError } from "../../engine/mod.ts";
import { AdamW } from "../../nn/optim/adamw.ts";
import { assert, assertEquals, gpuTest } from "../harness.ts";
import { VISION_IMAGES, VisionStep } from "./vision_step.ts";

/** Kernels of the step, each with a mistake in its shader: as a driver might compile it wrongly. */
const MISTAKES: readonly (readonly [kernel: string, from: string, to: string])[] = [
  ["conv2d", "value += residual[at];", ""],
  ["max_pool.backward", "equal & !before", "equal"],
  ["roi_align.backward", "a * b * dOut", "a * a * dOut"],
  ["giou_loss.backward", "-1.0 / both - d_both", "-1.0 / both + d_both"],
];

/** Runs a function while one kernel of the device has a mistake. */
async function withMistake<T>(
  device: Device,
  [name, from, to]: typeof MISTAKES[number],
  fn: () => Promise<T>,
): Promise<T> {
  const append = device.append;
  let planted = 0;
  device.append = (record) => {
    if (record.kind !== "dispatch") return append.call(device, record);
    const { kernel } = record, { program } = kernel;
    if (program.name !== name || !program.code.includes(from)) return append.call(device, record);
    planted++;
    const code = program.code.replace(from, to);
    append.call(device, { ...record, kernel: { ...kernel, program: { ...program, code } } });
  };
  try {
    return await fn();
  } finally {
    device.append = append;
    assert(planted > 0, `"${from}" is in no shader of ${name}`);
  }
}

gpuTest(
  "verify() has nothing to say of a detector's training step, and names what is wrong in it",
  async (device) => {
    const model = await new VisionStep().to(device);
    const images = device.tensor(VISION_IMAGES.values, VISION_IMAGES.shape);
    const optimizer = new AdamW(model.namedParameters(), { lr: 1e-3 });
    const step = () => {
      optimizer.zeroGrad();
      model.forward(images).backward();
      optimizer.step();
    };
    const { verified, unverified } = await device.verify(step);
    assertEquals(unverified, []);
    assert(verified > 80, `${verified} dispatches`);
    for (const mistake of MISTAKES) {
      const error = await withMistake(device, mistake, () => device.verify(step)).catch((e) => e);
      assert(error instanceof MismatchError, `${mistake}: ${error}`);
      assert(error.mismatch.kernel.startsWith(`${mistake[0]}[`), error.message);
    }
    model.dispose();
  },
  { timeout: 240 },
);
