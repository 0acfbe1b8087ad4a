/**
 * Every case of `tests/golden` in Deno and in Chrome, within the tolerances of its manifest.
 * @module
 */
import { formatVerdict } from "../referee/compare.ts";
import { openGolden, runCase } from "../referee/run.ts";
import { assert, gpuTest, loadFixture } from "./harness.ts";

const folder = await openGolden((file) => loadFixture(`golden/${file}`));

for (const entry of folder.manifest.cases) {
  gpuTest(`golden: ${entry.name}`, async (device) => {
    const verdict = await runCase(folder, entry, device);
    assert(verdict.ok, formatVerdict(verdict));
  });
}
