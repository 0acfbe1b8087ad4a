/**
 * Starts the peers, in Deno or in a page.
 * @module
 */
import { type Framework, type Run } from "../frameworks/framework.ts";
import { Jax, type JaxApi } from "../frameworks/jax.ts";
import { Ort, type OrtApi } from "../frameworks/ort.ts";
import { TensorFlow, type TfApi } from "../frameworks/tfjs.ts";
import { peerVersion } from "./versions.ts";

/** Where a runtime finds the peers' files. */
export interface PeerFiles {
  /** URL of a file of a package, such as `@jax-js/jax/dist/index.js`. */
  readonly url: (path: string) => string;
  /** URL of the module made by `bundleTensorFlow`. */
  readonly tensorFlow: string;
  /** Loads onnxruntime-node; there only where native code runs. */
  readonly ortNode?: () => OrtApi;
}

/** A peer that did not start: each of its rows says why. */
class Absent implements Framework {
  readonly cpu = false;
  constructor(readonly label: string, readonly reason: unknown) {}
  prepare(): readonly (() => Promise<Run>)[] {
    throw this.reason;
  }
}

/** All peers; those of the GPU first, then the floors that run on the processor. */
export async function startPeers(files: PeerFiles): Promise<Framework[]> {
  const tf = () => import(files.tensorFlow) as Promise<TfApi & TfWasm>;
  const version = {
    jax: peerVersion("@jax-js/jax"),
    tf: peerVersion("@tensorflow/tfjs-core"),
    ortWeb: peerVersion("onnxruntime-web"),
    ortNode: peerVersion("onnxruntime-node"),
  };
  const jax = async (device: "webgpu" | "wasm") => {
    const api: JaxApi = await import(files.url("@jax-js/jax/dist/index.js"));
    const framework = new Jax(api, version.jax, device);
    await framework.start();
    return framework;
  };
  const tensorFlow = async (backend: "webgpu" | "wasm") => {
    const api = await tf();
    api.setWasmPaths(files.url("@tensorflow/tfjs-backend-wasm/dist/"));
    const framework = new TensorFlow(api, backend);
    await framework.start();
    return framework;
  };
  const ortWeb = async (provider: "webgpu" | "wasm") => {
    const api: OrtApi = await import(
      files.url("onnxruntime-web/dist/ort.webgpu.bundle.min.mjs")
    );
    api.env.logLevel = "error";
    api.env.wasm.wasmPaths = files.url("onnxruntime-web/dist/");
    return new Ort(api, {
      label: ortLabel("web", version.ortWeb, provider),
      provider,
      gpuBuffers: provider === "webgpu",
    });
  };
  const starts: [label: string, start: () => Promise<Framework>][] = [
    [`@jax-js/jax ${version.jax} (webgpu)`, () => jax("webgpu")],
    [`tfjs ${version.tf} (webgpu)`, () => tensorFlow("webgpu")],
    [ortLabel("web", version.ortWeb, "webgpu"), () => ortWeb("webgpu")],
    [`@jax-js/jax ${version.jax} (wasm)`, () => jax("wasm")],
    [`tfjs ${version.tf} (wasm)`, () => tensorFlow("wasm")],
    [ortLabel("web", version.ortWeb, "wasm"), () => ortWeb("wasm")],
  ];
  const { ortNode } = files;
  if (ortNode !== undefined) {
    for (const provider of ["webgpu", "cpu"] as const) {
      const label = ortLabel("node", version.ortNode, provider);
      const start = () =>
        Promise.resolve(new Ort(ortNode(), { label, provider, gpuBuffers: false }));
      starts.push([label, start]);
    }
  }
  const frameworks: Framework[] = [];
  for (const [label, start] of starts) {
    frameworks.push(await start().catch((reason) => new Absent(label, reason)));
  }
  return frameworks;
}

interface TfWasm {
  setWasmPaths(folder: string): void;
}

function ortLabel(build: "web" | "node", version: string, provider: string): string {
  return `onnxruntime-${build} ${version} (${provider})`;
}
