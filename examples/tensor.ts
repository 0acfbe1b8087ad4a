/**
 * Tensors and gradients: deno run examples/tensor.ts
 *
 * Fits a line to noisy points by hand, with nothing but tensors and `backward`.
 */
import { add, mean, mul, noGrad, requestDevice, square, sub } from "@wgrad/wgrad";

using device = await requestDevice();
console.log(device.label);

// y = 2 x + 1 and a little noise
const xs = Float32Array.from({ length: 32 }, (_, i) => i / 16 - 1);
const ys = xs.map((x, i) => 2 * x + 1 + 0.05 * Math.sin(7 * i));
const x = device.tensor(xs), y = device.tensor(ys);

let slope = 0, offset = 0;
for (let step = 0; step < 60; step++) {
  const [a, b] = [slope, offset].map((value) =>
    device.tensor([value], undefined, { requiresGrad: true })
  );
  // What is allocated in a step is freed at its end, but for what is returned.
  const gradients = device.step(() => {
    const error = sub(add(mul(x, a), b), y);
    mean(square(error)).backward();
    return [a.grad!.item(), b.grad!.item()]; // asked for here, awaited outside
  });
  const [da, db] = await Promise.all(await gradients);
  slope -= 0.5 * da;
  offset -= 0.5 * db;
}
console.log(`y = ${slope.toFixed(2)} x + ${offset.toFixed(2)}`);

// Inference needs no tape.
const at = await device.step(() =>
  noGrad(() => add(mul(device.tensor([3]), slope), offset).item())
);
console.log(`at x = 3: ${at.toFixed(1)}`);
