/**
 * `deno task bench [--peers [--frameworks GLOB]] [--chrome] [--only GLOB] [--quick] [--json FILE] [--html FILE]`
 *
 * Measures wgrad on the adapter at hand, in Deno or with `--chrome` in headless Chrome, and with `--peers` the other
 * frameworks in the same run. `--only` picks workloads by name and shape, `--frameworks` peers by name. The figures go to
 * the terminal, to `out/bench/report.html` and, with `--json`, to a file.
 * @module
 */
import { dirname, join } from "node:path";
import { readOptions, runMain, UsageError } from "../cli/main.ts";
import { setUp } from "../cli/setup.ts";
import { PROJECT_ROOT } from "../cli/system.ts";
import { matcher } from "../referee/glob.ts";
import { bundleSizeRows } from "./bundle_size.ts";
import { startChrome } from "./chrome/session.ts";
import { startDeno } from "./deno_session.ts";
import { FIRST_RESULT, ours, oursWarm } from "./first_result.ts";
import { spread } from "./harness/statistics.ts";
import { type Row, rowsToJson } from "./harness/row.ts";
import type { BenchOptions, RuntimeSession } from "./options.ts";
import { byWorkload, digits, rated } from "./output/format.ts";
import { benchPage } from "./output/report.ts";
import { HEADER, standingLines, workloadLines } from "./output/table.ts";
import { denoPeerFiles, preparePeerFiles } from "./peers/deno_files.ts";
import { peersFor } from "./peers/start.ts";
import { EFFORTS } from "./session.ts";
import type { Workload } from "./workload.ts";
import { ALL_WORKLOADS } from "./workloads/all.ts";

/** The figures that are no workload, in the order in which they come. */
const EXTRAS = { firstResult: FIRST_RESULT.workload, bundleSize: "bundle size" } as const;

async function main(): Promise<void> {
  const values = readOptions(Deno.args, {
    peers: { type: "boolean", default: false },
    frameworks: { type: "string", default: "*" },
    chrome: { type: "boolean", default: false },
    only: { type: "string", default: "*" },
    quick: { type: "boolean", default: false },
    json: { type: "string" },
    html: { type: "string", default: join(PROJECT_ROOT, "out/bench/report.html") },
  });
  const wanted = matcher([values.only]);
  const chosen = [...ALL_WORKLOADS.entries()].filter(([, { name, shape }]) =>
    wanted(name) || wanted(`${name} ${shape}`)
  );
  const extras = Object.values(EXTRAS).filter(wanted);
  if (chosen.length + extras.length === 0) {
    throw new UsageError(`no workload is called ${values.only}`);
  }
  const { chrome } = await setUp({ tests: values.chrome });
  if (values.peers) await preparePeerFiles();
  const options: BenchOptions = {
    effort: values.quick ? "quick" : "full",
    peers: values.peers ? values.frameworks : null,
  };
  const session = values.chrome ? await startChrome(chrome!, options) : await startDeno(options);
  const { started } = session;
  console.log(heading(session));
  console.log(HEADER);
  const rows: Row[] = [...started.rows];
  const show = (workload: Workload | undefined, added: readonly Row[]) => {
    rows.push(...added);
    for (const [name, group] of byWorkload(added)) {
      console.log(workloadLines(name, rated(group, workload, started.roof)));
    }
  };
  try {
    for (const [index, workload] of chosen) show(workload, await attempt(session, index, workload));
    if (extras.includes(EXTRAS.firstResult)) show(undefined, await firstRows(session, options));
  } finally {
    await session.close();
  }
  if (extras.includes(EXTRAS.bundleSize)) {
    show(undefined, await bundleSizeRows(started.setting, values.peers));
  }
  console.log(standingLines(rows));
  if (values.json !== undefined) await save(values.json, rowsToJson(rows));
  const { setting: { runtime, adapter, date }, wait, roof } = started;
  const section = { runtime, adapter, date, wait, roof, rows };
  await save(values.html, benchPage([section], ALL_WORKLOADS));
}

/** What everything below was measured on. */
function heading({ started: { setting, wait, roof } }: RuntimeSession): string {
  const { runtime, adapter, date } = setting;
  return `${runtime} on ${Deno.build.os} ${Deno.build.arch}, ${adapter}, ${date}
roofline: ${digits(roof.gflops)} GFLOP/s (${roof.shape}), ${digits(roof.gbs)} GB/s copied
a wait for nothing takes ${digits(wait)} ms; a sample takes at least twenty of them`;
}

/** The rows of a workload; where the whole runtime fails, one row that says so. */
async function attempt(
  session: RuntimeSession,
  index: number,
  { name, shape }: Workload,
): Promise<readonly Row[]> {
  try {
    return await session.run(index);
  } catch (error) {
    const { setting } = session.started;
    return [failedRow({ workload: name, shape }, "all", setting, error)];
  }
}

/** Fresh processes or pages, the frameworks taking turns. */
async function firstRows(
  session: RuntimeSession,
  { effort, peers }: BenchOptions,
): Promise<Row[]> {
  const isPeer = matcher([peers ?? ""]);
  const labels = [ours(), oursWarm(), ...peersFor(denoPeerFiles())]
    .map(({ label }) => label)
    .filter((label, i) => i < 2 || (peers !== null && isPeer(label)));
  const samples = new Map<string, number[]>(labels.map((label) => [label, []]));
  const errors = new Map<string, unknown>();
  for (let round = 0; round < EFFORTS[effort].rounds; round++) {
    for (const label of labels) {
      if (errors.has(label)) continue;
      await session.firstResult(label).then(
        (ms) => samples.get(label)!.push(ms),
        (error) => errors.set(label, error),
      );
    }
  }
  const { setting } = session.started;
  return labels.map((label): Row => {
    if (errors.has(label)) return failedRow(FIRST_RESULT, label, setting, errors.get(label));
    const { median, p10, p90 } = spread(samples.get(label)!);
    return {
      ...FIRST_RESULT,
      framework: label,
      ...setting,
      clock: "wall",
      repeats_per_sync: 1,
      median_ms: median,
      p10_ms: p10,
      p90_ms: p90,
      gflops: null,
      check: { ok: true, max_abs: null },
    };
  });
}

function failedRow(
  { workload, shape }: { workload: string; shape: string },
  framework: string,
  setting: RuntimeSession["started"]["setting"],
  error: unknown,
): Row {
  return {
    workload,
    shape,
    framework,
    ...setting,
    clock: "wall",
    repeats_per_sync: 0,
    median_ms: null,
    p10_ms: null,
    p90_ms: null,
    gflops: null,
    check: { ok: false, max_abs: null },
    error: error instanceof Error ? error.message : String(error),
  };
}

async function save(path: string, text: string): Promise<void> {
  await Deno.mkdir(dirname(path), { recursive: true });
  await Deno.writeTextFile(path, text);
  console.log(`wrote ${path}`);
}

await runMain("bench", main);
