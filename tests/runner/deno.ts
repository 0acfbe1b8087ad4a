/**
 * Runs test files with `deno test` in a subprocess and counts what it reports.
 * @module
 */
import { PROJECT_ROOT, quietDriverEnvironment } from "../../cli/system.ts";
import type { Counts, RunnerOptions } from "./counts.ts";

/** Runs files (paths relative to the project), shows their output as it comes, and counts. */
export async function runInDeno(
  files: readonly string[],
  options: RunnerOptions,
): Promise<Counts> {
  const folder = await Deno.makeTempDir({ prefix: "wgrad-test-" });
  const reportPath = `${folder}/junit.xml`;
  try {
    const filter = options.filter === "" ? [] : [`--filter=${options.filter}`];
    const child = new Deno.Command(Deno.execPath(), {
      args: ["test", "--allow-all", `--junit-path=${reportPath}`, ...filter, ...files],
      cwd: PROJECT_ROOT,
      env: {
        ...quietDriverEnvironment(),
        WGRAD_TEST_TIMEOUT: String(options.timeout),
        WGRAD_TEST_LIMITS: options.limits,
      },
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const output = await echo(child.stdout);
    const { code, signal } = await child.status;
    const report = await Deno.readTextFile(reportPath).catch(() => "");
    const { counts, complaint } = judge({ report, output, code, signal });
    if (complaint !== undefined) console.error(`Deno: ${complaint}`);
    return counts;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function echo(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    await Deno.stdout.write(chunk);
    text += decoder.decode(chunk, { stream: true });
  }
  return text;
}

/** What a finished `deno test` left. */
export interface Outcome {
  /** Its JUnit report; empty where it wrote none. */
  readonly report: string;
  /** What it printed; holds what the report leaves out, errors outside of any test. */
  readonly output: string;
  readonly code: number;
  readonly signal: string | null;
}

/** Counts the tests of a report; whatever is not a pass, or is not accounted for, is a failure. */
export function judge(outcome: Outcome): { counts: Counts; complaint?: string } {
  const { report, code, signal } = outcome;
  // deno-lint-ignore no-control-regex -- colours are escape sequences
  const output = outcome.output.replace(/\x1b\[[0-9;]*m/g, "");
  const cases = report.split("<testcase ").slice(1);
  const marked = (mark: RegExp) => cases.filter((text) => mark.test(text)).length;
  // The report calls both skipped: what a filter leaves out, which was not asked for, and what is ignored.
  const filtered = Number(/ (\d+) filtered out \(/.exec(output)?.[1] ?? 0);
  const skipped = marked(/<skipped\b/);
  const bad = marked(/<(failure|error)\b/) + Math.max(0, skipped - filtered);
  const uncaught = new Set(output.match(/^Uncaught error from .* FAILED$/gm)).size;
  const announced = [...output.matchAll(/^running (\d+) tests? from /gm)]
    .reduce((sum, [, count]) => sum + Number(count), 0);
  const ran = cases.length - Math.min(skipped, filtered);
  const unreported = Math.max(0, announced - ran);
  const counts = { passed: ran - bad, failed: bad + uncaught + unreported };
  const complaints: string[] = [];
  if (uncaught > 0) complaints.push(`${uncaught} files failed outside of their tests`);
  if (unreported > 0) complaints.push(`${unreported} tests did not run to an end`);
  // Type errors and crashes leave no report at all.
  if (counts.failed === 0 && (code !== 0 || signal !== null)) {
    counts.failed = 1;
    complaints.push(
      signal === null ? `deno test ended with code ${code}` : `deno test was stopped by ${signal}`,
    );
  }
  return complaints.length === 0 ? { counts } : { counts, complaint: complaints.join("; ") };
}
