/**
 * wgrad itself: the run is captured once and replayed, which is what its documentation says to do with a step.
 * @module
 */
import config from "../../deno.json" with { type: "json" };
import type { Device, Tensor } from "../../mod.ts";
import type { Workload } from "../workload.ts";
import { disposeOutputs } from "../workloads/ours.ts";
import type { Framework, Run } from "./framework.ts";

/** wgrad on a device. */
export class Wgrad implements Framework {
  readonly label = `wgrad ${config.version}`;
  readonly cpu = false;
  readonly #device: Device;

  constructor(device: Device) {
    this.#device = device;
  }

  prepare(workload: Workload): readonly (() => Promise<Run>)[] {
    return [() => this.#prepare(workload)];
  }

  async #prepare({ eager = false, wgrad }: Workload): Promise<Run> {
    const device = this.#device;
    const { step, dispose } = await wgrad(device);
    const captured = eager ? null : device.capture(step);
    let last: Record<string, Tensor> = {};
    const drop = () => {
      if (eager) disposeOutputs(last);
      last = {};
    };
    return {
      mostRuns: Infinity,
      run: async (times) => {
        for (let i = 0; i < times; i++) {
          drop();
          last = captured ? await captured() : await device.step(step);
        }
        await device.sync();
      },
      results: async () => {
        const outputs = Object.entries(last);
        const values = await Promise.all(outputs.map(([, tensor]) => tensor.data()));
        return Object.fromEntries(outputs.map(([name], i) => [name, values[i]]));
      },
      ...(device.gpu.features.has("timestamp-query") && {
        gpuMs: async (times: number) => {
          const steps = () => {
            for (let i = 0; i < times; i++) disposeOutputs(step());
          };
          return (await device.profile(steps, { roofline: false })).ms / times;
        },
      }),
      dispose: () => {
        drop();
        captured?.dispose();
        dispose();
        device.trim();
      },
    };
  }
}
