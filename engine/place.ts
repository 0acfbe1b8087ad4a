/**
 * Where in user code an op was asked for: what errors, profiles and traces point at.
 *
 * A stack is captured when a kernel is recorded and formatted only when somebody asks. Kernels of a backward pass point
 * at their op's forward call, not at `backward()`, which would be the same line for all of them.
 * @module
 */

let forward: Error | null = null;

/** A place for what is recorded now: the caller's, or within `atPlace` the one given there. */
export function here(name: string): Error {
  return forward ?? new Error(name);
}

/** Runs a function whose kernels belong to an earlier place. */
export function atPlace<T>(place: Error, fn: () => T): T {
  const before = forward;
  forward = place;
  try {
    return fn();
  } finally {
    forward = before;
  }
}

/** The folder of the engine's files; null in a bundle, where its frames cannot be told from others by their path. */
const ENGINE = /\/engine\/place\.\w+$/.test(import.meta.url ?? "")
  ? import.meta.url.slice(0, import.meta.url.lastIndexOf("/") + 1)
  : null;

/** Frames of a place in a bundle, from the op on. */
const BUNDLED_FRAMES = 3;

/** The first line of the stack that lies outside the engine; in a bundle several lines. */
export function placeOf(place: Error): string {
  const lines = (place.stack ?? "").split("\n").slice(1).map((line) => line.trim());
  // the first two are `here` and who records
  const own = ENGINE === null
    ? lines.slice(2, 2 + BUNDLED_FRAMES).join(" < ")
    : lines.find((line) => !line.includes(ENGINE)) ?? lines.at(-1);
  return own || "at an unknown place";
}
