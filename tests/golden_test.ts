/**
 * Every case of `tests/golden` in Deno and, but for the two largest, in Chrome, within the tolerances of its manifest.
 * @module
 */
import { formatVerdict } from "../referee/compare.ts";
import { openGolden, runCase } from "../referee/run.ts";
import { assert, gpuTest, loadFixture } from "./harness.ts";

const folder = await openGolden((file) => loadFixture(`golden/${file}`));

/** The whole R-50: 60 million weights are filled, and Chrome's software adapter takes minutes for the rest. */
const DENO_ONLY = ["mc_18_full", "mc_19_train"];

for (const entry of folder.manifest.cases) {
  if (!("Deno" in globalThis) && DENO_ONLY.includes(entry.name)) continue;
  gpuTest(`golden: ${entry.name}`, async (device) => {
    const verdict = await runCase(folder, entry, device);
    assert(verdict.ok, formatVerdict(verdict));
  });
}
