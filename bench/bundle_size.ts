/**
 * What a page has to load: each framework as one minified module, and its WebAssembly where it needs one. Deno only.
 * @module
 */
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import * as esbuild from "esbuild";
import config from "../deno.json" with { type: "json" };
import { bundle } from "../cli/bundle.ts";
import { bundleTensorFlow, PEER_MODULES } from "./peers/install.ts";
import { peerVersion } from "./peers/versions.ts";
import { makeRow, type Row, type Setting } from "./harness/row.ts";

/** A row a framework; the sizes stand where other rows have the shape. @param peers whether they are installed */
export async function bundleSizeRows(setting: Setting, peers: boolean): Promise<Row[]> {
  const row = (label: string, code: Uint8Array, wasm = new Uint8Array(0)): Row => {
    const shape = `${kilobytes(code)} minified, ${kilobytes(gzipSync(code))} gzip` +
      (wasm.length > 0 ? `, and ${kilobytes(wasm)} of WebAssembly` : "");
    return makeRow({ workload: "bundle size", shape }, { label, cpu: false }, setting, {});
  };
  const whole = await bundle(["mod.ts"]);
  const ours = row(`wgrad ${config.version}`, await minified(whole.get("mod.js")!));
  if (!peers) return [ours];
  const file = (path: string) => Deno.readFile(join(PEER_MODULES, path));
  const ort = "onnxruntime-web/dist/";
  return [
    ours,
    row(`@jax-js/jax ${peerVersion("@jax-js/jax")}`, await jax()),
    row(`tfjs ${peerVersion("@tensorflow/tfjs-core")}`, await bundleTensorFlow("browser")),
    row(
      `onnxruntime-web ${peerVersion("onnxruntime-web")}`,
      await file(`${ort}ort.webgpu.bundle.min.mjs`),
      await file(`${ort}ort-wasm-simd-threaded.asyncify.wasm`),
    ),
  ];
}

function kilobytes(bytes: Uint8Array): string {
  return `${(bytes.length / 1000).toFixed(0)} KB`;
}

async function minified(code: Uint8Array): Promise<Uint8Array> {
  try {
    const text = new TextDecoder().decode(code);
    const { code: small } = await esbuild.transform(text, { minify: true, format: "esm" });
    return new TextEncoder().encode(small);
  } finally {
    await esbuild.stop();
  }
}

async function jax(): Promise<Uint8Array> {
  try {
    const { outputFiles } = await esbuild.build({
      entryPoints: [join(PEER_MODULES, "@jax-js/jax/dist/index.js")],
      bundle: true,
      format: "esm",
      minify: true,
      write: false,
      logLevel: "silent",
    });
    return outputFiles[0].contents;
  } finally {
    await esbuild.stop();
  }
}
