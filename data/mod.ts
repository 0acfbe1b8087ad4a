/**
 * Images and labels -> batches. Everything here also runs in a browser; reading folders is in `data/files.ts`, finding
 * MNIST and Fashion-MNIST in `data/datasets.ts`, MCGaze's folders in `data/gaze/files.ts`.
 * @module
 */
export * from "./random.ts";
export * from "./idx.ts";
export * from "./cifar.ts";
export * from "./image_set.ts";
export * from "./sampling.ts";
export * from "./float_image.ts";
export * from "./image_source.ts";
export * from "./transforms.ts";
export { type AffineRanges, randomAffine, resize } from "./resample.ts";
export * from "./resized_crop.ts";
export * from "./rand_augment.ts";
export * from "./random_erasing.ts";
export * from "./loader.ts";
export * from "./mixup.ts";
export * from "./batches.ts";
export * from "./gaze/mod.ts";
