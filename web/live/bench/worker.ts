/**
 * Measures in a worker: the plain loops that results are compared with would hold up the page, and a worker can be ended at
 * any moment.
 * @module
 */
import { Session } from "../../../bench/session.ts";
import { ALL_WORKLOADS } from "../../../bench/workloads/all.ts";
import type { Order, Report } from "./messages.ts";

const tell = (report: Report): void => postMessage(report);

async function measure({ runtime, effort, workloads }: Order): Promise<void> {
  const session = await Session.start({ runtime, effort, peers: [] });
  const { setting, wait, roof } = session;
  tell({ kind: "started", setting, wait, roof, rows: session.rooflineRows() });
  for (const index of workloads) {
    tell({ kind: "begins", index });
    tell({ kind: "rows", index, rows: await session.run(ALL_WORKLOADS[index]) });
  }
  tell({ kind: "done" });
}

addEventListener("message", ({ data }: MessageEvent<Order>) => {
  measure(data).catch((error) =>
    tell({ kind: "failed", message: error instanceof Error ? error.message : String(error) })
  );
});
