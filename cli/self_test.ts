/**
 * How long the engine's self-test takes, in a process of its own, as for the search of an adapter (probe.ts): cold, with
 * its compilation and dispatch, and warm, on the second device of a process, which remembers the verdict.
 *
 * Run as a program it prints one line of JSON, a `SelfTestReport`.
 * @module
 */
import { requestDevice } from "../engine/mod.ts";
import { Pipelines } from "../engine/pipelines.ts";
import { selfTest } from "../engine/self_test.ts";
import { fromFileUrl, quietDriverEnvironment, run } from "./system.ts";

/** What the self-test said, and when. */
export interface SelfTestReport {
  /** Milliseconds on the first device of a process. It runs beside the compilation of the first step. */
  readonly cold: number;
  /** Milliseconds on the next one. */
  readonly warm: number;
  /** What the driver computes wrongly; null where all is right. */
  readonly wrong: string | null;
}

const TIMEOUT_MS = 60_000;

/** Runs the self-test twice, as two devices of a new process would; null where that process does not come to its end. */
export async function timeSelfTest(): Promise<SelfTestReport | null> {
  const command = ["run", "--allow-all", "--quiet", fromFileUrl(import.meta.url)];
  const { code, stdout } = await run([Deno.execPath(), ...command], {
    env: quietDriverEnvironment(),
    timeoutMs: TIMEOUT_MS,
  });
  return code === 0 ? JSON.parse(stdout.trim().split("\n").at(-1)!) : null;
}

/** Runs it on a device of its own. */
async function timed(): Promise<{ milliseconds: number; wrong: string | null }> {
  using device = await requestDevice({ selfTest: false });
  const begin = performance.now();
  const wrong = await selfTest(device.gpu, new Pipelines(device.gpu), device.label);
  return { milliseconds: performance.now() - begin, wrong };
}

if (import.meta.main) {
  const cold = await timed(), warm = await timed();
  const report: SelfTestReport = {
    cold: cold.milliseconds,
    warm: warm.milliseconds,
    wrong: cold.wrong,
  };
  console.log(JSON.stringify(report));
  Deno.exit(0);
}
