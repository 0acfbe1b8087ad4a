/**
 * `deno task bench`: measures wgrad on the adapter at hand, in Deno or in headless Chrome, and with `--peers` the other
 * frameworks in the same run. The figures go to the terminal, to an HTML page and, with `--json`, to a file.
 * @module
 */
import { dirname, join } from "node:path";
import { readArguments, runMain, UsageError } from "../cli/main.ts";
import { setUp } from "../cli/setup.ts";
import { PROJECT_ROOT } from "../cli/system.ts";
import { matcher } from "../referee/glob.ts";
import { bundleSizeRows } from "./bundle_size.ts";
import { startChrome } from "./chrome/session.ts";
import { startDeno } from "./deno_session.ts";
import { FIRST_RESULT, ours, oursWarm } from "./first_result.ts";
import { makeRow, type Row, rowsToJson } from "./harness/row.ts";
import type { BenchOptions, RuntimeSession } from "./options.ts";
import { byWorkload, digits, rated, settingText } from "./output/format.ts";
import { benchPage } from "./output/report.ts";
import { scalingLines } from "./output/scaling.ts";
import { HEADER, standingLines, workloadLines } from "./output/table.ts";
import { denoPeerFiles, preparePeerFiles } from "./peers/deno_files.ts";
import type { Peer } from "./peers/peer.ts";
import { peersFor } from "./peers/start.ts";
import type { ScaledSeries } from "./scaling/run.ts";
import { SCALING } from "./scaling/series.ts";
import { scalingRows } from "./scaling/summary.ts";
import { EFFORTS } from "./session.ts";
import type { Workload } from "./workload.ts";
import { ALL_WORKLOADS } from "./workloads/all.ts";
import { findWorkload, nameOf } from "./workloads/find.ts";

/** The figures that are no workload, in the order in which they come. */
const EXTRAS = { firstResult: FIRST_RESULT.workload, bundleSize: "bundle size" } as const;

const USAGE = `deno task bench [options]: measures kernels and models on the adapter at hand
  --peers            measure jax-js, TensorFlow.js and ONNX Runtime in the same run
  --frameworks GLOB  those peers alone whose name matches, such as "@jax*" or "*webgpu*"
  --chrome           in headless Chrome instead of Deno
  --shape "NAME SHAPE"  a workload at a shape of your own, such as "matmul 300x500x700"; may be repeated. Then those of the
                     table are measured only where --only names them
  --only GLOB        these workloads alone; GLOB is a name, or a name and a shape, with * and ?
  --scaling          how costs grow with batch, tokens, experts and image size, and MoE against dense; --only names a series
  --quick            fewer samples, and none of what takes minutes
  --json FILE        write the figures
  --html FILE        write the plots elsewhere than to out/bench/report.html
  --no-install       print what to install where there is no adapter, instead of installing it`;

async function main(): Promise<void> {
  const { values } = readArguments(USAGE, Deno.args, {
    options: {
      peers: { type: "boolean", default: false },
      frameworks: { type: "string", default: "*" },
      chrome: { type: "boolean", default: false },
      shape: { type: "string", multiple: true, default: [] },
      only: { type: "string" },
      scaling: { type: "boolean", default: false },
      quick: { type: "boolean", default: false },
      json: { type: "string" },
      html: { type: "string", default: join(PROJECT_ROOT, "out/bench/report.html") },
      "no-install": { type: "boolean", default: false },
    },
  });
  const only = values.only ?? (values.shape.length > 0 ? "" : "*");
  const wanted = matcher([only]);
  const series = values.scaling
    ? [...SCALING.entries()].filter(([, { name, long }]) => wanted(name) && !(long && values.quick))
    : [];
  const chosen = values.scaling ? [] : [
    ...values.shape.map(shaped),
    ...ALL_WORKLOADS.filter((workload) =>
      (wanted(workload.name) || wanted(nameOf(workload))) && !(workload.long && values.quick)
    ),
  ];
  const extras = values.scaling ? [] : Object.values(EXTRAS).filter(wanted);
  if (chosen.length + extras.length + series.length === 0) {
    throw new UsageError(`no ${values.scaling ? "series" : "workload"} is called ${only}`);
  }
  const { chrome } = await setUp({ tests: values.chrome, install: !values["no-install"] });
  if (values.peers) await preparePeerFiles();
  const options: BenchOptions = {
    effort: values.quick ? "quick" : "full",
    peers: values.peers ? values.frameworks : null,
  };
  const session = values.chrome ? await startChrome(chrome!, options) : await startDeno(options);
  const { started } = session;
  console.log(heading(session));
  if (!values.scaling) console.log(HEADER);
  const scaling: ScaledSeries[] = [];
  const rows: Row[] = [...started.rows];
  const show = (workload: Workload | undefined, added: readonly Row[]) => {
    rows.push(...added);
    for (const [name, group] of byWorkload(added)) {
      console.log(workloadLines(name, rated(group, workload, started.roof)));
    }
  };
  try {
    for (const workload of chosen) show(workload, await attempt(session, workload));
    for (const [index] of series) {
      const scaled = await session.scale(index);
      scaling.push(scaled);
      rows.push(...scalingRows(scaled, ours(), started.setting));
      console.log(scalingLines(scaled));
    }
    if (extras.includes(EXTRAS.firstResult)) show(undefined, await firstRows(session, options));
  } finally {
    await session.close();
  }
  if (extras.includes(EXTRAS.bundleSize)) {
    show(undefined, await bundleSizeRows(started.setting, values.peers));
  }
  console.log(standingLines(rows));
  if (values.json !== undefined) await save(values.json, rowsToJson(rows));
  const { setting, wait, roof } = started;
  const shown = values.scaling ? [] : rows;
  const section = { setting, wait, roof, rows: shown, scaling };
  await save(values.html, benchPage([section], chosen));
}

/** A workload of `--shape`. @throws {UsageError} there is none of that name */
function shaped(text: string): Workload {
  try {
    return findWorkload(text);
  } catch (error) {
    throw error instanceof RangeError ? new UsageError(`--shape: ${error.message}`) : error;
  }
}

/** What everything below was measured on. */
function heading({ started: { setting, wait, roof } }: RuntimeSession): string {
  return `${settingText(setting)}, ${Deno.build.os} ${Deno.build.arch}
roofline: ${digits(roof.gflops)} GFLOP/s (${roof.shape}), ${
    digits(roof.gbs)
  } GB/s copied ${roof.copier}
a wait for nothing takes ${digits(wait)} ms; a sample takes at least twenty of them`;
}

/** The rows of a workload; where the whole runtime fails, one row that says so. */
async function attempt(
  session: RuntimeSession,
  workload: Workload,
): Promise<readonly Row[]> {
  try {
    return await session.run(nameOf(workload));
  } catch (error) {
    const { name, shape } = workload;
    const all = { label: "all", cpu: false };
    return [makeRow({ workload: name, shape }, all, session.started.setting, { failure: error })];
  }
}

/** Fresh processes or pages, the frameworks taking turns. */
async function firstRows(
  session: RuntimeSession,
  { effort, peers }: BenchOptions,
): Promise<Row[]> {
  const isPeer = matcher([peers ?? ""]);
  const chosen = [ours(), oursWarm(), ...peersFor(denoPeerFiles()).filter((p) => isPeer(p.label))];
  const samples = new Map<Peer, number[]>(chosen.map((peer) => [peer, []]));
  const failures = new Map<Peer, unknown>();
  for (let round = 0; round < EFFORTS[effort].rounds; round++) {
    for (const peer of chosen) {
      if (failures.has(peer)) continue;
      await session.firstResult(peer.label).then(
        (ms) => samples.get(peer)!.push(ms),
        (failure) => failures.set(peer, failure),
      );
    }
  }
  return chosen.map((peer) =>
    makeRow(
      FIRST_RESULT,
      peer,
      session.started.setting,
      failures.has(peer) ? { failure: failures.get(peer) } : {
        samples: samples.get(peer)!,
      },
    )
  );
}

async function save(path: string, text: string): Promise<void> {
  await Deno.mkdir(dirname(path), { recursive: true });
  await Deno.writeTextFile(path, text);
  console.log(`wrote ${path}`);
}

await runMain("bench", main);
