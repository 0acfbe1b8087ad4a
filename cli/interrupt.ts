/**
 * Ctrl-C: the first one asks the running work to stop and save, the second one ends the program at once.
 * @module
 */

/** Runs work that a first Ctrl-C (or SIGTERM) stops in an orderly way. */
export async function withInterrupt<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const stop = (): void => {
    if (controller.signal.aborted) Deno.exit(130);
    console.error("\nstopping after this step and saving; Ctrl-C again ends at once");
    controller.abort();
  };
  const signals: Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
  for (const signal of signals) Deno.addSignalListener(signal, stop);
  try {
    return await work(controller.signal);
  } finally {
    for (const signal of signals) Deno.removeSignalListener(signal, stop);
  }
}
