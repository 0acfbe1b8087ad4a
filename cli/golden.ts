/**
 * `deno task golden DIR [--only GLOB]... [--except GLOB]...`
 *
 * Runs every case of a folder of reference data (a `manifest.json` and safetensors) on the adapter at hand and prints a
 * line for each, `NAME ok|FAIL max_abs=… max_rel=…`: the largest difference, and the largest in relation to its
 * tensor's largest value. Tolerances are the manifest's. The exit code is 1 when a case fails or is not understood.
 * @module
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { requestDevice } from "../engine/mod.ts";
import { formatVerdict } from "../referee/compare.ts";
import { matcher } from "../referee/glob.ts";
import { openGolden, runCase } from "../referee/run.ts";
import { quietDrivers } from "./system.ts";

const USAGE = "Usage: deno task golden DIR [--only GLOB]... [--except GLOB]...";

async function main(args: string[]): Promise<number> {
  let parsed;
  try {
    parsed = parseArgs({
      args,
      allowPositionals: true,
      options: {
        only: { type: "string", multiple: true, default: [] },
        except: { type: "string", multiple: true, default: [] },
        help: { type: "boolean", default: false },
      },
    });
  } catch (error) {
    console.error(`golden: ${(error as Error).message}\n${USAGE}`);
    return 2;
  }
  const { values: { only, except, help }, positionals } = parsed;
  if (help) {
    console.log(`${USAGE}\n\nGLOB is a case's name with * and ?, or several separated by commas.`);
    return 0;
  }
  if (positionals.length !== 1) {
    console.error(`golden: needs one folder, got ${positionals.length}\n${USAGE}`);
    return 2;
  }
  const [dir] = positionals;
  const folder = await openGolden((file) => Deno.readFile(join(dir, file)));
  const [wanted, unwanted] = [matcher(only), matcher(except)];
  const cases = folder.manifest.cases
    .filter(({ name }) => (only.length === 0 || wanted(name)) && !unwanted(name));
  if (cases.length === 0) {
    console.error(`golden: none of the ${folder.manifest.cases.length} cases of ${dir} is chosen`);
    return 1;
  }
  quietDrivers();
  using device = await requestDevice();
  console.log(`# ${device.label}`);
  let failed = 0;
  for (const entry of cases) {
    const verdict = await runCase(folder, entry, device);
    console.log(formatVerdict(verdict));
    if (!verdict.ok) failed++;
  }
  console.log(`# ${cases.length - failed} ok, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

try {
  Deno.exitCode = await main(Deno.args);
} catch (error) {
  // Told without a stack: the way out is in the message (no adapter, no such folder, a broken manifest).
  console.error(`golden: ${error instanceof Error ? error.message : String(error)}`);
  Deno.exitCode = 1;
}
