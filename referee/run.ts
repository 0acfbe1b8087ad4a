/**
 * Runs golden cases: finds the code for a case's kind, lets it compute, compares. The same in Deno and in a browser.
 * @module
 */
import type { Device } from "../engine/device.ts";
import { GoldenCase, NotUnderstoodError, type Results } from "./case.ts";
import { compareCase, type Verdict } from "./compare.ts";
import { type CaseEntry, type Manifest, parseManifest } from "./manifest.ts";
import { activationCase } from "./cases/activations.ts";
import { boxesCase } from "./cases/boxes.ts";
import { dynamicConvCase } from "./cases/dynamic_conv.ts";
import { fullSizeCase } from "./cases/full_size.ts";
import { gazeMetricsCase } from "./cases/gaze_metrics.ts";
import { gazeLossCase } from "./cases/gaze_losses.ts";
import { expertsCase, softMoeCase, spheroMoeCase } from "./cases/layers.ts";
import { labelSmoothCase } from "./cases/losses.ts";
import { pyramidCase, trainingStepCase, wholeModelCase } from "./cases/mcgaze.ts";
import { gazeHeadCase, stageHeadCase } from "./cases/mcgaze_parts.ts";
import { modelCase } from "./cases/models.ts";
import { recyclingCase } from "./cases/recycling.ts";
import { roiAlignCase } from "./cases/roi_align.ts";
import { routingCase } from "./cases/routing.ts";
import { trainingCase } from "./cases/training.ts";

/** Computes what a case stores, from its inputs, parameters and settings alone. */
export type CaseRunner = (golden: GoldenCase, device: Device) => Promise<Results> | Results;

/** The code for each kind of case. What is not here is not understood. */
const RUNNERS: ReadonlyMap<string, CaseRunner> = new Map<string, CaseRunner>([
  ["moe_01", routingCase],
  ["moe_02", activationCase],
  ["moe_03", expertsCase],
  ["moe_04", softMoeCase],
  ["moe_05", spheroMoeCase],
  ["moe_06", modelCase],
  ["moe_07", modelCase],
  ["moe_08", fullSizeCase],
  ["moe_09", trainingCase],
  ["moe_10", recyclingCase],
  ["moe_15", labelSmoothCase],
  ["mc_11", roiAlignCase],
  ["mc_12", dynamicConvCase],
  ["mc_13", stageHeadCase],
  ["mc_14", gazeHeadCase],
  ["mc_15", gazeLossCase],
  ["mc_16", boxesCase],
  ["mc_17", pyramidCase],
  ["mc_18", wholeModelCase],
  ["mc_19", trainingStepCase],
  ["mc_20", gazeMetricsCase],
]);

/** A folder laid out like `tests/golden`: a manifest and the files it names. */
export interface GoldenFolder {
  /** What it promises. */
  readonly manifest: Manifest;
  /** The bytes of one of its files. */
  read(file: string): Promise<Uint8Array>;
}

/**
 * Opens a golden folder.
 * @param read hands out the bytes of a file of the folder, by name
 * @throws {DataError} the manifest is not one
 */
export async function openGolden(
  read: (file: string) => Promise<Uint8Array>,
): Promise<GoldenFolder> {
  return { manifest: parseManifest(new TextDecoder().decode(await read("manifest.json"))), read };
}

/** Runs one case. Never throws: whatever goes wrong is a failed verdict that says so. */
export async function runCase(
  folder: GoldenFolder,
  entry: CaseEntry,
  device: Device,
): Promise<Verdict> {
  try {
    if (entry.fault !== undefined) throw entry.fault;
    const runner = RUNNERS.get(entry.kind);
    if (runner === undefined) {
      throw new NotUnderstoodError(`there is no code for cases of kind ${entry.kind}`);
    }
    const golden = await GoldenCase.read(entry, await folder.read(entry.file));
    const results = await runner(golden, device);
    await device.sync();
    return compareCase(golden, results);
  } catch (error) {
    await device.sync().catch(() => {}); // the next case starts without this one's errors
    const kind = error instanceof NotUnderstoodError ? "not understood" : (error as Error).name;
    const what = `${kind}: ${(error as Error).message.replace(/\s*\n\s*/g, " ")}`;
    return { name: entry.name, ok: false, maxAbs: NaN, maxRel: NaN, what };
  }
}
