/**
 * The peers that there are, and how each is loaded, in Deno or in a page.
 * @module
 */
import { Jax, type JaxApi } from "../frameworks/jax.ts";
import { Ort, type OrtApi } from "../frameworks/ort.ts";
import { TensorFlow, type TfApi } from "../frameworks/tfjs.ts";
import type { Peer } from "./peer.ts";
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

/** All peers that can be tried in a runtime; those on the GPU first, then the floors that run on the processor. */
export function peersFor(files: PeerFiles): Peer[] {
  const { ortNode } = files;
  return [
    jaxPeer(files, "webgpu"),
    tensorFlowPeer(files, "webgpu"),
    ortWebPeer(files, "webgpu"),
    ...(ortNode ? [ortNodePeer(ortNode, "webgpu")] : []),
    jaxPeer(files, "wasm"),
    tensorFlowPeer(files, "wasm"),
    ortWebPeer(files, "wasm"),
    ...(ortNode ? [ortNodePeer(ortNode, "cpu")] : []),
  ];
}

const JAX = "@jax-js/jax";

function jaxPeer(files: PeerFiles, device: "webgpu" | "wasm"): Peer {
  const version = peerVersion(JAX);
  return {
    label: `${JAX} ${version} (${device})`,
    cpu: device === "wasm",
    first: true, // it makes workers, and ONNX Runtime's loader puts Node's `Worker` in the place of the runtime's own
    load: async () => {
      const api: JaxApi = await import(files.url(`${JAX}/dist/index.js`));
      return async () => {
        const framework = new Jax(api, version, device);
        await framework.start();
        return framework;
      };
    },
  };
}

function tensorFlowPeer(files: PeerFiles, backend: "webgpu" | "wasm"): Peer {
  return {
    label: `tfjs ${peerVersion("@tensorflow/tfjs-core")} (${backend})`,
    cpu: backend === "wasm",
    load: async () => {
      const api: TfApi & { setWasmPaths(folder: string): void } = await import(files.tensorFlow);
      return async () => {
        api.setWasmPaths(files.url("@tensorflow/tfjs-backend-wasm/dist/"));
        const framework = new TensorFlow(api, backend);
        await framework.start();
        return framework;
      };
    },
  };
}

function ortWebPeer(files: PeerFiles, provider: "webgpu" | "wasm"): Peer {
  const folder = "onnxruntime-web/dist/";
  const label = `onnxruntime-web ${peerVersion("onnxruntime-web")} (${provider})`;
  return {
    label,
    cpu: provider === "wasm",
    load: async () => {
      const api: OrtApi = await import(files.url(`${folder}ort.webgpu.bundle.min.mjs`));
      api.env.logLevel = "error";
      api.env.wasm.wasmPaths = files.url(folder);
      return () =>
        Promise.resolve(new Ort(api, { label, provider, gpuBuffers: provider === "webgpu" }));
    },
  };
}

function ortNodePeer(load: () => OrtApi, provider: "webgpu" | "cpu"): Peer {
  const label = `onnxruntime-node ${peerVersion("onnxruntime-node")} (${provider})`;
  return {
    label,
    cpu: provider === "cpu",
    load: () => {
      const api = load();
      return Promise.resolve(() =>
        Promise.resolve(new Ort(api, { label, provider, gpuBuffers: false }))
      );
    },
  };
}
