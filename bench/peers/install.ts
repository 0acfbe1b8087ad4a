/**
 * Fetches the peers, which nothing but `task bench --peers` needs, into `bench/peers/node_modules`; and makes one module of
 * TensorFlow.js, whose packages find each other only through a bundler. Deno only.
 * @module
 */
import { join } from "node:path";
import * as esbuild from "esbuild";
import { PROJECT_ROOT, run } from "../../cli/system.ts";

const FOLDER = join(PROJECT_ROOT, "bench/peers");

/** Where the packages lie. */
export const PEER_MODULES: string = join(FOLDER, "node_modules");

/** Installs what `bench/peers/deno.json` pins. @throws {Error} with npm's complaint */
export async function installPeers(): Promise<void> {
  const done = await Deno.stat(join(PEER_MODULES, "onnxruntime-node")).catch(() => null);
  if (done !== null) return;
  console.log("bench: fetching jax-js, TensorFlow.js and ONNX Runtime (100 MB, unpacked 500 MB)");
  const command = [Deno.execPath(), "install", "--frozen", "--quiet"];
  const { code, stderr } = await run(command, { cwd: FOLDER });
  if (code !== 0) throw new Error(`the peers could not be fetched:\n${stderr}`);
}

const TFJS = `
export * from "@tensorflow/tfjs-core";
import "@tensorflow/tfjs-core/dist/register_all_gradients.js";
import "@tensorflow/tfjs-backend-webgpu";
export { setWasmPaths } from "@tensorflow/tfjs-backend-wasm";
`;

/** Its platform code asks for \`require\` outside browsers. */
const NODE_BANNER = `import { createRequire } from "node:module";
const require = createRequire(import.meta.url), __filename = "", __dirname = "";`;

/** TensorFlow.js as one module, for Deno or for a browser. */
export async function bundleTensorFlow(platform: "node" | "browser"): Promise<Uint8Array> {
  try {
    const { outputFiles } = await esbuild.build({
      stdin: { contents: TFJS, resolveDir: FOLDER },
      bundle: true,
      format: "esm",
      platform,
      mainFields: ["module", "main"],
      minify: true,
      write: false,
      logLevel: "silent",
      banner: platform === "node" ? { js: NODE_BANNER } : {},
    });
    return outputFiles![0].contents;
  } finally {
    await esbuild.stop();
  }
}
