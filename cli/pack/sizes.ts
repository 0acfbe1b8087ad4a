/**
 * What a page downloads for wgrad: the npm package bundled with what a program uses, minified, gzip.
 * @module
 */
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import * as esbuild from "esbuild";
import config from "../../deno.json" with { type: "json" };

/** One program and its size. */
export interface Size {
  /** What the program is. */
  readonly name: string;
  /** Bytes after minification. */
  readonly minified: number;
  /** Bytes of that after gzip at level 9. */
  readonly gzip: number;
}

/**
 * The programs, as modules of a user. `core` is what it takes to train a network of one's own, as examples/browser.html
 * does: device, memory, autograd, capture, profiling, checks, layers, an optimiser and a loss. Kernels that a program does
 * not use stay out of it; a program with more layers has more of them.
 */
export const PROGRAMS: readonly (readonly [name: string, code: string])[] = [
  [
    "core: train a perceptron",
    `export { crossEntropy, requestDevice, softmax } from "./engine/mod.js";
     export { AdamW, Linear, Module } from "./nn/mod.js";`,
  ],
  [
    "and train(), LayerNorm, Mlp, mean",
    `export { crossEntropy, gelu, matmul, mean, relu, requestDevice, softmax } from "./engine/mod.js";
     export { AdamW, LayerNorm, Linear, Mlp, Module, train } from "./nn/mod.js";`,
  ],
  [
    "train a Vision Transformer",
    `export { crossEntropy, requestDevice, VisionTransformer, AdamW } from "./mod.js";`,
  ],
  [
    "every op and every layer",
    `export * from "./engine/mod.js"; export * from "./nn/mod.js";`,
  ],
  ["all of " + config.name, `export * from "./mod.js";`],
];

/** Measures each program against a package as `writeNpmPackage` left it. */
export async function measureSizes(folder: string): Promise<Size[]> {
  const packaged = JSON.parse(await Deno.readTextFile(join(folder, "package.json")));
  if (packaged.name !== config.name) throw new Error(`${folder} holds no ${config.name}`);
  try {
    const sizes: Size[] = [];
    for (const [name, contents] of PROGRAMS) {
      const { outputFiles } = await esbuild.build({
        stdin: { contents, resolveDir: folder },
        absWorkingDir: folder,
        bundle: true,
        format: "esm",
        platform: "browser",
        minify: true,
        write: false,
        logLevel: "silent",
      });
      const { contents: code } = outputFiles[0];
      sizes.push({ name, minified: code.length, gzip: gzipSync(code, { level: 9 }).length });
    }
    return sizes;
  } finally {
    await esbuild.stop();
  }
}
