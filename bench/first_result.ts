/**
 * Time to the first result: from a framework whose modules are loaded to the values of its first product on the host, in a
 * fresh process or page. Finding the adapter and compiling are in it; fetching and parsing the code is not.
 * @module
 */
import { requestDevice } from "../mod.ts";
import type { Framework } from "./frameworks/framework.ts";
import { Wgrad } from "./frameworks/wgrad.ts";
import { checkResults } from "./harness/check.ts";
import type { Peer } from "./peers/peer.ts";
import { expectedResults } from "./reference/expected.ts";
import { matmulWorkload } from "./workloads/matmul.ts";

/** The product that is asked for first. */
const SIZE = 256;

/** Name and shape of the rows. */
export const FIRST_RESULT = {
  workload: "first result",
  shape: `matmul ${SIZE}x${SIZE}x${SIZE}, modules loaded`,
} as const;

/** wgrad as one among the peers. */
export function ours(): Peer {
  return { label: "wgrad", cpu: false, load: () => Promise.resolve(startOurs) };
}

/** The same in a process that has already put this adapter to the self-test, as every process but the first step has. */
export function oursWarm(): Peer {
  const load = async () => {
    const device = await requestDevice();
    await device.full([1], 0).data();
    device.destroy();
    return startOurs;
  };
  return { label: "wgrad, self-test warm", cpu: false, load };
}

async function startOurs(): Promise<Framework> {
  return new Wgrad(await requestDevice());
}

/** Milliseconds to the first result. @throws when it is wrong */
export async function firstResult({ load }: Peer): Promise<number> {
  const workload = matmulWorkload(SIZE, SIZE, SIZE);
  const want = expectedResults(workload);
  const start = await load();
  const begin = performance.now();
  const framework = await start();
  const run = await framework.prepare(workload)[0]();
  await run.run(1);
  const got = await run.results();
  const ms = performance.now() - begin;
  checkResults(got, want, workload.tolerance);
  return ms;
}
