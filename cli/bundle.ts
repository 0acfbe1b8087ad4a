/**
 * Bundles modules for a browser: TypeScript in, ECMAScript modules out, shared code in shared chunks.
 * @module
 */
import { join, relative } from "node:path";
import * as esbuild from "esbuild";
import { PROJECT_ROOT } from "./system.ts";

/** Finished files by their path relative to the project, such as `tests/engine/pool_test.js`. */
export type Bundle = ReadonlyMap<string, Uint8Array>;

/**
 * Bundles entry modules (paths relative to the project) and all they import, in memory, with source maps beside them.
 * @throws {Error} with esbuild's messages where a module is missing or does not parse.
 */
export async function bundle(entries: readonly string[]): Promise<Bundle> {
  try {
    const { outputFiles } = await esbuild.build({
      absWorkingDir: PROJECT_ROOT,
      entryPoints: [...entries],
      outbase: PROJECT_ROOT,
      outdir: PROJECT_ROOT,
      bundle: true,
      splitting: true,
      format: "esm",
      target: "es2023",
      // `using` is newer than es2023, so esbuild writes it out for browsers that lack it.
      sourcemap: "linked",
      write: false,
      logLevel: "silent",
      plugins: [npmSpecifiers],
    });
    return new Map(outputFiles.map((file) => [outputName(file.path), file.contents]));
  } catch (error) {
    const errors: unknown = error instanceof Error ? Reflect.get(error, "errors") : undefined;
    if (!Array.isArray(errors)) throw error;
    const lines = await esbuild.formatMessages(errors, { kind: "error" });
    throw new Error(`bundling failed\n${lines.join("").trimEnd()}`, { cause: error });
  } finally {
    // esbuild is a subprocess that would keep this one alive.
    await esbuild.stop();
  }
}

function outputName(path: string): string {
  return relative(PROJECT_ROOT, path).replaceAll("\\", "/");
}

/** The parts of `npm:@scope/name@1.2.3/path`; the path may be empty. */
export function parseNpmSpecifier(
  specifier: string,
): { name: string; version: string; path: string } {
  const match = /^npm:\/?(@[^/]+\/[^/@]+|[^/@]+)@([^/]+)(\/.*)?$/.exec(specifier);
  if (match === null) throw new Error(`${specifier}: expected npm:name@version/path`);
  const [, name, version, path = ""] = match;
  return { name, version, path: path.slice(1) };
}

/** Finds `npm:` specifiers in Deno's node_modules, by exact version: two versions of a package stay apart. */
const npmSpecifiers: esbuild.Plugin = {
  name: "npm-specifiers",
  setup(build) {
    build.onResolve({ filter: /^npm:/ }, (args) => {
      const { name, version, path } = parseNpmSpecifier(args.path);
      const store = `node_modules/.deno/${name.replace("/", "+")}@${version}`;
      return build.resolve(path === "" ? name : `${name}/${path}`, {
        kind: args.kind,
        resolveDir: join(PROJECT_ROOT, store),
        importer: args.importer,
      });
    });
  },
};
