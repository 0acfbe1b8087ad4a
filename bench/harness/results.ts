/**
 * What a framework's run is checked by.
 * @module
 */
import type { Run } from "../frameworks/framework.ts";
import { CHECKED_LOSSES, type Workload } from "../workload.ts";

/** The results of a run; of training, the losses of the first steps. */
export async function firstResults(
  run: Run,
  workload: Workload,
): Promise<Record<string, ArrayLike<number>>> {
  await run.run(1);
  const first = await run.results();
  if (workload.work().kind !== "training") return first;
  const loss = [first.loss[0]];
  while (loss.length < CHECKED_LOSSES) {
    await run.run(1);
    loss.push((await run.results()).loss[0]);
  }
  return { loss };
}
