/**
 * The small HTTP server behind the tests in Chrome: a page, the bundles, and the fixtures of `tests/`.
 * @module
 */
import { extname, join, normalize } from "node:path";
import type { Bundle } from "../../cli/bundle.ts";
import { PROJECT_ROOT } from "../../cli/system.ts";

/** The page itself; localhost counts as secure, which WebGPU asks for. */
const PAGE = `<!doctype html><meta charset="utf-8"><title>wgrad tests</title>
<link rel="icon" href="data:,"><script type="module" src="/bundle/tests/runner/page.js"></script>`;

const TYPES: Readonly<Record<string, string>> = {
  ".js": "text/javascript",
  ".json": "application/json",
  ".map": "application/json",
};

/** A server that is listening. */
export interface TestServer {
  /** Such as `http://localhost:40123`. */
  readonly origin: string;
  /** Stops it. */
  close(): Promise<void>;
}

/** Serves `/` (the page), `/bundle/...` (from memory) and `/tests/...` (from disk) on a free port of localhost. */
export function serve(bundle: Bundle): TestServer {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => respond(bundle, decodeURIComponent(new URL(request.url).pathname)),
  );
  return { origin: `http://localhost:${server.addr.port}`, close: () => server.shutdown() };
}

async function respond(bundle: Bundle, path: string): Promise<Response> {
  if (path === "/") return response(PAGE, "text/html");
  const type = TYPES[extname(path)] ?? "application/octet-stream";
  if (path.startsWith("/bundle/")) {
    const bytes = bundle.get(path.slice("/bundle/".length));
    return bytes === undefined ? notFound(path) : response(bytes.slice(), type);
  }
  const local = normalize(path);
  if (!local.startsWith("/tests/")) return notFound(path);
  try {
    return response(await Deno.readFile(join(PROJECT_ROOT, local)), type);
  } catch {
    return notFound(path);
  }
}

function response(body: BodyInit, type: string): Response {
  return new Response(body, { headers: { "content-type": type, "cache-control": "no-store" } });
}

function notFound(path: string): Response {
  return new Response(`${path} is not here`, { status: 404 });
}
