/**
 * `deno task soak [--minutes N] [--seed N] [--out DIR] [--summary] [--no-install]`
 *
 * Trains the demo's mixture of experts for an hour on made-up images, captured and eager steps taking turns, and writes
 * down what the engine holds and does: `samples.jsonl` as it goes, plots in `report.html` at the end. `--summary` also
 * writes `docs/results/soak.md`. The exit code is 1 when memory grew or something was read back unasked.
 * @module
 */
import { crossEntropy, requestDevice } from "../engine/mod.ts";
import { writeFileAtomic } from "../io/files.ts";
import { VisionTransformerMoe } from "../models/mod.ts";
import { AdamW, Rng, train, type TrainBatch } from "../nn/mod.ts";
import { MOE } from "./demo/recipe.ts";
import { withInterrupt } from "./interrupt.ts";
import { readArguments, runMain, UsageError, wholeNumber } from "./main.ts";
import { setUp } from "./setup.ts";
import {
  judgeSoak,
  type Sample,
  soakMarkdown,
  soakPage,
  type SoakSettings,
} from "./soak/summary.ts";
import { PROJECT_ROOT } from "./system.ts";

const USAGE = `deno task soak [options]: trains for an hour and watches memory, step time and reads
  --minutes N    how long; default 60
  --seed N       default 0
  --out DIR      where samples.jsonl and report.html go; default out/soak
  --summary      also write docs/results/soak.md
  --no-install   print what to install instead of installing it`;

const BATCH = 16;
/** Steps between two samples, and between two changes of the mode. */
const EVERY = 10, PHASE = 50;

interface Settings {
  readonly minutes: number;
  readonly seed: number;
  readonly out: string;
  readonly summary: boolean;
  readonly install: boolean;
}

function readSettings(): Settings {
  const { values } = readArguments(USAGE, Deno.args, {
    options: {
      minutes: { type: "string", default: "60" },
      seed: { type: "string", default: "0" },
      out: { type: "string", default: `${PROJECT_ROOT}out/soak` },
      summary: { type: "boolean", default: false },
      "no-install": { type: "boolean", default: false },
    },
  });
  const { out, summary } = values, minutes = Number(values.minutes);
  if (!(minutes > 0)) {
    throw new UsageError(`--minutes takes a number above 0, not "${values.minutes}"`);
  }
  const seed = wholeNumber("seed", values.seed, 0, 2 ** 32 - 1);
  return { minutes, seed, out, summary, install: !values["no-install"] };
}

/** Runs until the time is over or a Ctrl-C comes; the exit code. */
async function soak(options: Settings, signal: AbortSignal): Promise<number> {
  const { minutes, seed } = options;
  using device = await requestDevice({ seed });
  const model = await new VisionTransformerMoe({ ...MOE, dropRate: 0.1 }).to(device, { seed });
  const optimizer = new AdamW(model.namedParameters(), { lr: 1e-4, maxGradNorm: 5 });
  const settings: SoakSettings = {
    model: "the demo's mixture of experts",
    batch: BATCH,
    seed,
    adapter: device.label,
    runtime: `Deno ${Deno.version.deno}`,
    date: new Date().toISOString().slice(0, 10),
    every: EVERY,
  };
  await Deno.mkdir(options.out, { recursive: true });
  using log = await Deno.open(`${options.out}/samples.jsonl`, {
    write: true,
    create: true,
    truncate: true,
  });
  const samples: Sample[] = [];
  const begin = performance.now();
  let before = { time: begin, step: 0, readbacks: device.stats.readbacks };
  const sample = async (step: number, captured: boolean, loss: number): Promise<void> => {
    const now = { time: performance.now(), step, readbacks: device.stats.readbacks };
    const steps = step - before.step;
    const { liveBytes, liveBuffers, reservedBytes } = device.memory;
    const entry: Sample = {
      seconds: (now.time - begin) / 1000,
      step,
      captured,
      loss,
      millisecondsPerStep: (now.time - before.time) / steps,
      readbacksPerStep: (now.readbacks - before.readbacks) / steps,
      liveBytes,
      liveBuffers,
      reservedBytes,
      processBytes: Deno.memoryUsage().rss,
    };
    before = now;
    samples.push(entry);
    await log.write(new TextEncoder().encode(JSON.stringify(entry) + "\n"));
  };
  console.log(`soak: ${device.label}, ${minutes} minutes`);
  for (let start = 0; !signal.aborted; start += PHASE) {
    if (performance.now() - begin > 60_000 * minutes) break;
    const captured = start / PHASE % 2 === 0;
    await train({
      device,
      model,
      optimizer,
      startStep: start,
      steps: start + PHASE,
      batches: madeUp(seed, start),
      loss: (images, labels) => crossEntropy(model.forward(images), labels),
      capture: captured,
      reportEvery: EVERY,
      onProgress: ({ step, losses }) => sample(step, captured, losses[losses.length - 1]),
    });
    const last = samples[samples.length - 1];
    console.log(
      `${(last.seconds / 60).toFixed(1)} min  step ${last.step}  ${
        captured ? "captured" : "eager"
      }  loss ${last.loss.toFixed(4)}  ${
        last.millisecondsPerStep.toFixed(0)
      } ms/step  ${last.liveBytes} live bytes`,
    );
  }
  await writeFileAtomic(`${options.out}/report.html`, soakPage(samples, settings));
  console.log(`soak: wrote ${options.out}/samples.jsonl and report.html`);
  if (options.summary) {
    const path = `${PROJECT_ROOT}docs/results/soak.md`;
    await writeFileAtomic(path, soakMarkdown(samples, settings));
    console.log(`soak: wrote ${path}`);
  }
  const { faults, table } = judgeSoak(samples, settings);
  console.log(table);
  for (const fault of faults) console.error(`soak: ${fault}`);
  return faults.length > 0 ? 1 : 0;
}

/** Batches of noise whose label is which third of the image is bright; the batch of a step is always the same. */
async function* madeUp(seed: number, start: number): AsyncGenerator<TrainBatch> {
  const rng = new Rng(seed, "soak");
  for (let step = start;; step++) {
    const images = new Float32Array(BATCH * 784), labels = new Uint32Array(BATCH);
    const cell = rng.cell(step);
    for (let i = 0; i < BATCH; i++) {
      labels[i] = cell.integer(3);
      for (let k = 0; k < 784; k++) {
        images[i * 784 + k] = cell.uniform() + (Math.floor(k * 3 / 784) === labels[i] ? 0.5 : 0);
      }
    }
    yield [[images, [BATCH, 1, 28, 28]], [labels, [BATCH]]];
  }
}

await runMain("soak", async () => {
  const settings = readSettings();
  await setUp({ install: settings.install });
  return await withInterrupt((signal) => soak(settings, signal));
});
