/**
 * The benchmark's side of the page, in a worker of its own: plain loops in float64 take seconds, and the page must answer
 * meanwhile. What runs here is what `deno task bench --chrome` runs, without peers.
 * @module
 */
import { makeRow, type Row } from "../../../bench/harness/row.ts";
import { rated } from "../../../bench/output/format.ts";
import { Session } from "../../../bench/session.ts";
import type { Workload } from "../../../bench/workload.ts";
import { ALL_WORKLOADS } from "../../../bench/workloads/all.ts";
import type { News, Order } from "./messages.ts";

const tell = (news: News): void => postMessage(news);

addEventListener("message", ({ data }: MessageEvent<Order>) => {
  measure(data).catch((error) => {
    tell({ kind: "failed", message: error instanceof Error ? error.message : String(error) });
  });
}, { once: true });

async function measure({ runtime, effort, chosen }: Order): Promise<void> {
  const session = await Session.start({ runtime, effort, peers: [] });
  const { setting, wait, roof } = session;
  tell({ kind: "started", session: { setting, wait, roof, rows: session.rooflineRows() } });
  for (const [place, index] of chosen.entries()) {
    const workload = ALL_WORKLOADS[index], { name, shape, flops, bytes } = workload;
    tell({ kind: "begun", place, name: `${name} ${shape}` });
    const rows = rated(await rowsOf(session, workload), workload, roof);
    const intensity = flops === null || bytes === null ? null : flops / bytes;
    tell({ kind: "measured", rows, intensity });
  }
  tell({ kind: "finished" });
}

/** The rows of a workload; where it fails beyond the harness, one row that says so. */
async function rowsOf(session: Session, workload: Workload): Promise<readonly Row[]> {
  try {
    return await session.run(workload);
  } catch (failure) {
    const { name, shape } = workload, [{ label, cpu }] = session.frameworks;
    return [makeRow({ workload: name, shape }, { label, cpu }, session.setting, { failure })];
  }
}
