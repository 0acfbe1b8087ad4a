/**
 * One step captured, replayed, profiled and searched for NaN: deno run examples/capture_profile.ts
 */
import {
  AdamW,
  crossEntropy,
  Linear,
  log,
  Module,
  requestDevice,
  sum,
  type Tensor,
} from "@wgrad/wgrad";

class Net extends Module {
  readonly fc1 = this.child("fc1", new Linear(16, 64));
  readonly fc2 = this.child("fc2", new Linear(64, 4));
  forward(x: Tensor): Tensor {
    return this.fc2.forward(this.fc1.forward(x, "gelu"));
  }
}

using device = await requestDevice({ seed: 1 });
const net = await new Net().to(device, { seed: 1 });
const optimizer = new AdamW(net.namedParameters(), { lr: 1e-2 });
const step = (x: Tensor, labels: Tensor) => {
  optimizer.zeroGrad();
  const loss = crossEntropy(net.forward(x), labels);
  loss.backward();
  optimizer.step();
  return loss;
};

// The class of a row is where the largest of its first four numbers stands.
const values = Float32Array.from({ length: 32 * 16 }, (_, i) => Math.sin(i * i));
const labels = Uint32Array.from({ length: 32 }, (_, row) => {
  const first = [...values.subarray(16 * row, 16 * row + 4)];
  return first.indexOf(Math.max(...first));
});

// Recorded at the first call, replayed from then on: no graph walk, no allocation.
const run = device.capture(step);
const losses: number[] = [];
for (let i = 0; i < 40; i++) {
  const loss = await run([values, [32, 16]], [labels, [32]]);
  if (i % 13 === 0) losses.push(await loss.item());
}
console.log("losses", losses.map((loss) => loss.toFixed(3)).join(" "));

// GPU time of each kernel, beside what the adapter can do.
const x = device.tensor(values, [32, 16]), y = device.tensor(labels);
const profile = await device.profile(() => step(x, y));
console.log(profile.table().split("\n").slice(0, 8).join("\n"));

// The first op that made a NaN, and the line that asked for it.
const error = await device.detectAnomaly(() => sum(log(device.tensor([1, -1, 2]))))
  .catch((error) => error);
console.log(error.name, error.message.split(";")[0]);
