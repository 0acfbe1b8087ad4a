/**
 * Comparing texts with committed ones, line by line.
 * @module
 */
import { AssertionError, loadFixture } from "./harness.ts";

/** How a changed text becomes the committed one; told by every failure. */
const WAY_OUT = "If the change is wanted: deno task test:snapshots --update, and commit the file.";

/**
 * Fails where a text differs from the committed file, with the first lines that do. `deno task test:snapshots --update`
 * writes the file instead.
 * @param path relative to `tests/`
 */
export async function assertSnapshot(text: string, path: string): Promise<void> {
  const got = `${text.trimEnd()}\n`;
  if ("Deno" in globalThis && Deno.args.includes("--update")) {
    return await Deno.writeTextFile(new URL(path, import.meta.url), got);
  }
  let want: string;
  try {
    want = new TextDecoder().decode(await loadFixture(path));
  } catch {
    throw new AssertionError(`tests/${path} is missing. ${WAY_OUT}`);
  }
  const difference = firstDifference(got.split("\n"), want.split("\n"));
  if (difference) throw new AssertionError(`tests/${path} differs ${difference}\n${WAY_OUT}`);
}

function firstDifference(got: readonly string[], want: readonly string[]): string | null {
  for (let i = 0; i < Math.max(got.length, want.length); i++) {
    if (got[i] === want[i]) continue;
    return `from line ${i + 1} (${got.length} lines, committed ${want.length}):\n  got  ${
      got[i] ?? "(end)"
    }\n  want ${want[i] ?? "(end)"}`;
  }
  return null;
}
