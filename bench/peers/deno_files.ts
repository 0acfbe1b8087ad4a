/**
 * Where Deno finds the peers.
 * @module
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { PROJECT_ROOT } from "../../cli/system.ts";
import { bundleTensorFlow, installPeers, PEER_MODULES } from "./install.ts";
import type { PeerFiles } from "./start.ts";

const TFJS = join(PROJECT_ROOT, "out/bench/tfjs.mjs");

/** Fetches the peers and makes their modules ready to be imported. */
export async function preparePeerFiles(): Promise<void> {
  await installPeers();
  await Deno.mkdir(join(PROJECT_ROOT, "out/bench"), { recursive: true });
  await Deno.writeFile(TFJS, await bundleTensorFlow("node"));
}

/** The files, once they are prepared. */
export function denoPeerFiles(): PeerFiles {
  // TensorFlow.js looks for WebGPU only where there is a window.
  Reflect.set(globalThis, "window", globalThis);
  const require = createRequire(import.meta.url);
  return {
    url: (path) => pathToFileURL(PEER_MODULES).href + "/" + path,
    tensorFlow: pathToFileURL(TFJS).href,
    ortNode: () => require(join(PEER_MODULES, "onnxruntime-node")),
  };
}
