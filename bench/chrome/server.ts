/**
 * The small HTTP server behind the benchmark in Chrome: a page, the bundle, and the peers' files.
 * @module
 */
import { extname, join, normalize } from "node:path";
import type { Bundle } from "../../cli/bundle.ts";
import { PEER_MODULES } from "../peers/install.ts";

/** The page; localhost counts as secure, which WebGPU asks for. */
const PAGE = `<!doctype html><meta charset="utf-8"><title>wgrad bench</title>
<link rel="icon" href="data:,"><script type="module" src="/bundle/bench/chrome/page.js"></script>`;

const TYPES: Readonly<Record<string, string>> = {
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
};

/** A server that is listening. */
export interface BenchServer {
  readonly origin: string;
  close(): Promise<void>;
}

/** Serves on a free port of localhost. @param tensorFlow the module of TensorFlow.js, where peers are measured */
export function serveBench(bundle: Bundle, tensorFlow: Uint8Array | null): BenchServer {
  const respond = async (request: Request): Promise<Response> => {
    const path = normalize(decodeURIComponent(new URL(request.url).pathname));
    if (path === "/") return response(PAGE, "text/html");
    const type = TYPES[extname(path)] ?? "application/octet-stream";
    if (path === "/tfjs.mjs" && tensorFlow) return response(tensorFlow.slice(), type);
    const bytes = path.startsWith("/bundle/")
      ? bundle.get(path.slice("/bundle/".length))?.slice()
      : path.startsWith("/peers/")
      ? await Deno.readFile(join(PEER_MODULES, path.slice("/peers/".length))).catch(() => undefined)
      : undefined;
    return bytes ? response(bytes, type) : new Response(`${path} is not here`, { status: 404 });
  };
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, respond);
  return { origin: `http://localhost:${server.addr.port}`, close: () => server.shutdown() };
}

/** The two policies make the page isolated, without which WebAssembly gets no threads. */
function response(body: BodyInit, type: string): Response {
  return new Response(body, {
    headers: {
      "content-type": type,
      "cross-origin-opener-policy": "same-origin",
      "cross-origin-embedder-policy": "require-corp",
    },
  });
}
