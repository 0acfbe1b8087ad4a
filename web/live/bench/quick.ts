/**
 * What is chosen when the page is opened: a little of everything that takes seconds even on a software adapter.
 * @module
 */

/** Names with shapes, as in the table of workloads. */
export const QUICK: ReadonlySet<string> = new Set([
  "tiny op, prepared chain of 1000 matmuls 8x8x8",
  "softmax 4728x197",
  "layer norm 1576x192",
  "gelu 1576x768",
  "entmax-1.5 1576x294",
  "matmul 256x256x256",
  "matmul 512x512x512",
  "matmul 197x192x768",
  "attention forward 8x3x197x64",
  "SpheroMoE forward 1x197x192, 98+196 experts",
  "RoIAlign 7x56x56x256, 3 boxes an image",
]);
