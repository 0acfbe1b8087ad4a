/**
 * `deno task site [--serve] [--port N] [--out DIR]`: builds the site into `out/site`, or builds and serves it.
 * @module
 */
import { dirname, join, resolve } from "node:path";
import { buildSite } from "../web/site/build.ts";
import { serveSite } from "../web/site/serve.ts";
import { readArguments, runMain, wholeNumber } from "./main.ts";
import { PROJECT_ROOT } from "./system.ts";

const USAGE = `deno task site [options]: builds the kernel atlas as static pages
  --out DIR   where to; default out/site
  --serve     also serve it on localhost, until interrupted
  --port N    default 8080`;

async function main(): Promise<void> {
  const { values } = readArguments(USAGE, Deno.args, {
    options: {
      out: { type: "string", default: `${PROJECT_ROOT}out/site` },
      serve: { type: "boolean", default: false },
      port: { type: "string", default: "8080" },
    },
  });
  const port = wholeNumber("port", values.port, 0, 65535), out = resolve(values.out);
  const site = await buildSite();
  for (const [path, bytes] of site) {
    const file = join(out, path);
    await Deno.mkdir(dirname(file), { recursive: true });
    await Deno.writeFile(file, bytes);
  }
  console.log(`${site.size} files in ${out}`);
  if (!values.serve) return;
  const server = serveSite(site, port);
  console.log(`${server.origin} (Ctrl-C ends it)`);
  await server.finished;
}

if (import.meta.main) await runMain("site", main);
