/**
 * `deno task pack [--out DIR]`: writes the package for npm into `out/npm` and prints what a page would download.
 * @module
 */
import { resolve } from "node:path";
import { PROJECT_ROOT } from "./system.ts";
import { readArguments, runMain, UsageError } from "./main.ts";
import { NOTICE, writeNpmPackage } from "./pack/npm.ts";
import { measureSizes } from "./pack/sizes.ts";

const USAGE =
  `deno task pack [options]: the package for npm; \`npm pack out/npm\` makes a tarball of it
  --out DIR   where to, replacing what is there; default out/npm`;

async function main(): Promise<void> {
  const { values } = readArguments(USAGE, Deno.args, {
    options: { out: { type: "string", default: `${PROJECT_ROOT}out/npm` } },
  });
  const out = resolve(values.out);
  await clear(out);
  await writeNpmPackage(out);
  console.log(`${out}\n`);
  console.log("a page that bundles it downloads          minified      gzip");
  for (const { name, minified, gzip } of await measureSizes(out)) {
    console.log(`${name.padEnd(38)} ${kilobytes(minified)} ${kilobytes(gzip)}`);
  }
}

/** Removes an earlier package, and nothing else. */
async function clear(out: string): Promise<void> {
  const entries = await Array.fromAsync(Deno.readDir(out)).catch(() => []);
  if (entries.length === 0) return;
  if (!entries.some(({ name }) => name === NOTICE)) {
    throw new UsageError(`${out} is not empty and holds no earlier package; name another folder`);
  }
  await Deno.remove(out, { recursive: true });
}

function kilobytes(bytes: number): string {
  return `${(bytes / 1000).toFixed(1)} KB`.padStart(9);
}

if (import.meta.main) await runMain("pack", main);
