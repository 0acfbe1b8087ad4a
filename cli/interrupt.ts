/**
 * Ctrl-C: the first one asks the running work to stop and save, the second one ends the program at once.
 * @module
 */
import { InterruptedError } from "../engine/mod.ts";
import { discardUnfinished } from "../io/files.ts";
import { endBar } from "./progress.ts";

/**
 * Milliseconds in which all signals are one press: a terminal sends Ctrl-C to every process of the group, and `npx` and
 * `deno task` each pass theirs on, so that one press arrives here up to three times.
 */
const ONE_PRESS = 500;

/**
 * Runs work that a first Ctrl-C (or SIGTERM, or the end of its terminal) stops in an orderly way.
 * @param onePress milliseconds; tests give others
 */
export async function withInterrupt<T>(
  work: (signal: AbortSignal) => Promise<T>,
  onePress = ONE_PRESS,
): Promise<T> {
  const controller = new AbortController();
  let pressed = 0;
  const stop = (): void => {
    if (!controller.signal.aborted) {
      pressed = performance.now();
      endBar();
      console.error("stopping after this step and saving; Ctrl-C again ends at once");
      controller.abort();
    } else if (performance.now() - pressed > onePress) {
      discardUnfinished();
      Deno.exit(130);
    }
  };
  const signals: Deno.Signal[] = Deno.build.os === "windows"
    ? ["SIGINT"]
    : ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) Deno.addSignalListener(signal, stop);
  try {
    return await work(controller.signal);
  } finally {
    for (const signal of signals) Deno.removeSignalListener(signal, stop);
  }
}

/**
 * For work between two trainings, which needs no saving: ends it when a Ctrl-C has come.
 * @throws {InterruptedError}
 */
export function stopIfAsked(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new InterruptedError("Interrupted; what was saved is whole.");
}

/** Ends the program at Ctrl-C without leaving a half-written file, for work that is quicker begun anew than resumed. */
export function discardOnInterrupt(): Disposable {
  const stop = (): void => {
    endBar();
    discardUnfinished();
    Deno.exit(130);
  };
  const signals: Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
  for (const signal of signals) Deno.addSignalListener(signal, stop);
  return {
    [Symbol.dispose]: () => {
      for (const signal of signals) Deno.removeSignalListener(signal, stop);
    },
  };
}
