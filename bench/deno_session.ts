/**
 * The benchmark in this process.
 * @module
 */
import { join } from "node:path";
import { PROJECT_ROOT, quietDriverEnvironment, run } from "../cli/system.ts";
import { matcher } from "../referee/glob.ts";
import { driverOf } from "./driver.ts";
import type { BenchOptions, RuntimeSession } from "./options.ts";
import { denoPeerFiles } from "./peers/deno_files.ts";
import { peersFor } from "./peers/start.ts";
import { SCALING } from "./scaling/series.ts";
import { Session } from "./session.ts";
import { findWorkload } from "./workloads/find.ts";

/** Starts a session in Deno. */
export async function startDeno({ effort, peers }: BenchOptions): Promise<RuntimeSession> {
  const wanted = matcher([peers ?? ""]);
  const chosen = peers === null
    ? []
    : peersFor(denoPeerFiles()).filter(({ label }) => wanted(label));
  const runtime = `Deno ${Deno.version.deno}`;
  const session = await Session.start({ runtime, effort, peers: chosen, driverOf });
  const { setting, wait, roof } = session;
  return {
    started: { setting, wait, roof, rows: session.rooflineRows() },
    run: (name) => session.run(findWorkload(name)),
    scale: (index) => session.scale(SCALING[index]),
    firstResult,
    close: () => Promise.resolve(),
  };
}

async function firstResult(label: string): Promise<number> {
  const script = join(PROJECT_ROOT, "bench/first_result_process.ts");
  const command = [Deno.execPath(), "run", "-A", script, label];
  const { stdout, stderr } = await run(command, {
    cwd: PROJECT_ROOT,
    env: quietDriverEnvironment(),
    timeoutMs: 300_000,
  });
  const answer = stdout.trim().split("\n").at(-1) ?? "";
  if (!answer.startsWith("{")) throw new Error(`its process ended without a result: ${stderr}`);
  const { ms, error } = JSON.parse(answer) as { ms?: number; error?: string };
  if (ms === undefined) throw new Error(error);
  return ms;
}
