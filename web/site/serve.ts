/**
 * Serves a built site on localhost, from memory.
 * @module
 */
import { extname } from "node:path";
import type { Site } from "./build.ts";

const TYPES: Readonly<Record<string, string>> = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".map": "application/json",
  ".woff2": "font/woff2",
};

/** A server that is listening. */
export interface SiteServer {
  /** Such as `http://localhost:8080`: WebGPU asks for localhost or https. */
  readonly origin: string;
  /** Resolves when it has ended. */
  readonly finished: Promise<void>;
  /** Ends it. */
  close(): Promise<void>;
}

/** Serves a site. @param port 0: any that is free */
export function serveSite(site: Site, port: number): SiteServer {
  const server = Deno.serve({ hostname: "127.0.0.1", port, onListen: () => {} }, (request) => {
    const path = decodeURIComponent(new URL(request.url).pathname).slice(1);
    const name = path === "" || path.endsWith("/") ? `${path}index.html` : path;
    const bytes = site.get(name);
    if (bytes === undefined) return new Response(`${path} is not here`, { status: 404 });
    const type = TYPES[extname(name)] ?? "application/octet-stream";
    return new Response(bytes.slice(), { headers: { "content-type": type } });
  });
  return {
    origin: `http://localhost:${server.addr.port}`,
    finished: server.finished,
    close: () => server.shutdown(),
  };
}
