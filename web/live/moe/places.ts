/**
 * Where the page finds what it loads, relative to itself; the build puts it there.
 * @module
 */

/** The fine-tuned mixture of experts that the page starts with. */
export const MOE_WEIGHTS = "weights/mnist_moe.safetensors";

/** The dense ViT that has only seen clothes. */
export const DENSE_WEIGHTS = "weights/fashion_mnist_vit.safetensors";

/** MNIST's digits, as many as the page needs: IDX files, packed. */
export const DIGITS = {
  train: {
    images: "digits/train-images-idx3-ubyte.gz",
    labels: "digits/train-labels-idx1-ubyte.gz",
  },
  heldOut: {
    images: "digits/t10k-images-idx3-ubyte.gz",
    labels: "digits/t10k-labels-idx1-ubyte.gz",
  },
} as const;
