/**
 * `deno task golden DIR [--only GLOB]... [--except GLOB]...`
 *
 * Runs every case of a folder of reference data (a `manifest.json` and safetensors) on the adapter at hand and prints a
 * line for each, `NAME ok|FAIL max_abs=… max_rel=…`: the largest difference, and the largest in relation to its
 * tensor's largest value. Tolerances are the manifest's. The exit code is 1 when a case fails or is not understood.
 * @module
 */
import { join } from "node:path";
import { DataError, requestDevice } from "../engine/mod.ts";
import { readFileBytes } from "../io/files.ts";
import { formatVerdict } from "../referee/compare.ts";
import { matcher } from "../referee/glob.ts";
import { openGolden, runCase } from "../referee/run.ts";
import { ProgramError, readArguments, runMain, UsageError } from "./main.ts";
import { setUp } from "./setup.ts";

const USAGE = `deno task golden DIR [options]: compares with a folder of reference outputs
  --only GLOB    run these cases alone; GLOB is a name with * and ?, or several separated by commas
  --except GLOB  leave these out
  --no-install   print what to install where there is no adapter, instead of installing it`;

async function golden(): Promise<number> {
  const { values: { only, except, ...values }, positionals } = readArguments(USAGE, Deno.args, {
    allowPositionals: true,
    options: {
      only: { type: "string", multiple: true, default: [] },
      except: { type: "string", multiple: true, default: [] },
      "no-install": { type: "boolean", default: false },
    },
  });
  if (positionals.length !== 1) {
    throw new UsageError(`needs one folder, got ${positionals.length}; --help lists the options`);
  }
  const [dir] = positionals;
  const folder = await openGolden((file) => readFileBytes(join(dir, file), DataError));
  const [wanted, unwanted] = [matcher(only), matcher(except)];
  const cases = folder.manifest.cases
    .filter(({ name }) => (only.length === 0 || wanted(name)) && !unwanted(name));
  if (cases.length === 0) {
    throw new ProgramError(`none of the ${folder.manifest.cases.length} cases of ${dir} is chosen`);
  }
  await setUp({ install: !values["no-install"] });
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

await runMain("golden", golden);
