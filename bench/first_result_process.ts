/**
 * `deno run -A bench/first_result_process.ts LABEL`: prints the milliseconds to the first result of one framework, as JSON
 * `{ ms }` or `{ error }` on the last line.
 * @module
 */
import { firstResult, ours, oursWarm } from "./first_result.ts";
import { denoPeerFiles } from "./peers/deno_files.ts";
import { peersFor } from "./peers/start.ts";

const [label] = Deno.args;
try {
  const peer = [ours(), oursWarm(), ...peersFor(denoPeerFiles())].find((p) => p.label === label);
  if (peer === undefined) throw new Error(`there is no framework ${label}`);
  console.log(JSON.stringify({ ms: await firstResult(peer) }));
} catch (error) {
  console.log(JSON.stringify({ error: error instanceof Error ? error.message : String(error) }));
}
Deno.exit(0);
