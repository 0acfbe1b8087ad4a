/**
 * The lower part of the page: training here, its buttons, curves and files.
 * @module
 */
import { lineChart, runningMean } from "../../../cli/report/line_chart.ts";
import type { Checkpoint } from "../../../io/mod.ts";
import { type Device, InterruptedError } from "../../../mod.ts";
import { adapterName } from "../../client/device.ts";
import { element } from "../../client/dom.ts";
import { percent } from "./answer.ts";
import { fromDense, fromModel } from "./beginning.ts";
import { byId, complain } from "./elements.ts";
import { fetched, fetchedParts } from "./fetched.ts";
import { FineTuning } from "./fine_tuning.ts";
import type { Look } from "./look.ts";
import type { LoadedModel } from "./model.ts";
import { DENSE_WEIGHTS } from "./places.ts";
import type { PageRun } from "./run_config.ts";

/** Milliseconds between two drawings of the curves, and between two looks through the model that learns. */
const REDRAW = 250, LOOK = 3000;

/** The run of the page. */
export class Tune {
  #tuning: FineTuning | null = null;
  #shown: LoadedModel | null = null;
  #stop: AbortController | null = null;
  /** Something takes its time: loading, saving or training. */
  #busy = false;
  #drawn = 0;
  #looked = 0;

  /** Listens to the buttons. */
  constructor(private readonly device: Device, private readonly look: Look) {
    const button = (id: string, work: () => Promise<void>): void =>
      byId(id).addEventListener("click", () => this.#do(work));
    button("start", () => this.#start());
    button("resume", () => this.#go());
    button(
      "save-run",
      async () =>
        this.#download(
          `moe-step-${this.#tuning!.step}.run.safetensors`,
          await this.#tuning!.save(),
        ),
    );
    button(
      "save-model",
      async () =>
        this.#download(
          `moe-step-${this.#tuning!.step}.safetensors`,
          await this.#tuning!.saveModel(),
        ),
    );
    byId("stop").addEventListener("click", () => {
      this.#stop?.abort();
      byId<HTMLButtonElement>("stop").disabled = true;
    });
    this.#enable();
  }

  /** Whether a model is the one that learns here. */
  owns({ net }: LoadedModel): boolean {
    return net === this.#tuning?.net;
  }

  /** Takes up a saved run. */
  async restore(run: PageRun, checkpoint: Checkpoint): Promise<void> {
    await this.#do(async () => {
      const parts = await fetchedParts();
      this.#replace(await FineTuning.restore(this.device, run, checkpoint, parts));
      this.#say("Loaded");
    });
  }

  async #start(): Promise<void> {
    const number = (id: string): number => {
      const input = byId<HTMLInputElement>(id);
      if (!input.checkValidity() || input.value === "") {
        input.focus();
        throw new RangeError(`${id}: want a whole number from ${input.min} to ${input.max}`);
      }
      return Number(input.value);
    };
    const steps = number("steps"), batchSize = number("batch"), seed = number("seed");
    byId("progress").textContent = "Loading the digits …";
    const parts = await fetchedParts(), { model } = this.look;
    const plan = { steps, batchSize, seed, images: parts.train.count };
    const shown = byId<HTMLSelectElement>("from").value === "shown" && model !== null;
    const { net, run } = shown
      ? await fromModel(this.device, model, plan)
      : await fromDense(this.device, await fetched(DENSE_WEIGHTS), plan);
    this.#replace(FineTuning.begin(this.device, net, run, parts, seed));
    byId("progress").textContent = "Compiling the kernels …";
    await this.#go();
  }

  async #go(): Promise<void> {
    const tuning = this.#tuning!;
    this.#stop = new AbortController();
    this.#enable();
    byId("saved").replaceChildren();
    let ms = NaN;
    try {
      await tuning.go(this.#stop.signal, {
        onSteps: (_, perStep) => {
          ms = perStep;
          this.#say("Training", ms);
          if (performance.now() - this.#looked > LOOK) this.#lookAgain();
        },
        onEvaluation: () => this.#say("Training", ms),
      });
      this.#say("Finished", ms);
    } catch (error) {
      if (!(error instanceof InterruptedError)) throw error;
      this.#say("Stopped", ms);
    } finally {
      this.#stop = null;
      tuning.net.eval();
      this.#draw(true);
      this.#lookAgain();
    }
  }

  /** Another run; the one before is forgotten. */
  #replace(tuning: FineTuning): void {
    const before = this.#tuning, shown = this.#shown;
    this.#tuning = tuning;
    const { model, recipe, names } = tuning.run;
    this.#shown = {
      model,
      recipe,
      names,
      net: tuning.net,
      label: "the model that learns below",
      described: true,
    };
    this.look.use(this.#shown);
    before?.dispose();
    shown?.net.dispose();
    byId("saved").replaceChildren();
    this.#draw(true);
  }

  #lookAgain(): void {
    this.#looked = performance.now();
    if (this.look.model === this.#shown) this.look.ask();
  }

  /** One thing at a time; what goes wrong is said. */
  async #do(work: () => Promise<void>): Promise<void> {
    if (this.#busy) {
      return complain("failed", new Error("One thing at a time: stop the training first."));
    }
    this.#busy = true;
    complain("failed", null);
    this.#enable();
    try {
      await work();
    } catch (error) {
      complain("failed", error);
    } finally {
      this.#busy = false;
      this.#enable();
    }
  }

  #enable(): void {
    const tuning = this.#tuning, idle = !this.#busy;
    const open = tuning !== null && tuning.step < tuning.run.steps;
    const enabled: Record<string, boolean> = {
      start: idle,
      stop: this.#stop !== null,
      resume: idle && open,
      "save-run": idle && tuning !== null,
      "save-model": idle && tuning !== null,
    };
    for (const [id, on] of Object.entries(enabled)) byId<HTMLButtonElement>(id).disabled = !on;
  }

  #say(what: string, ms = NaN): void {
    const { step, history: { losses, evaluations }, run, heldOut } = this.#tuning!;
    const loss = losses.at(-1), last = evaluations.at(-1);
    const parts = [
      `${what}: step ${step} of ${run.steps}`,
      ...(loss === undefined ? [] : [`loss ${loss.toFixed(3)}`]),
      ...(last === undefined
        ? []
        : [`${percent(last.accuracy)} of ${heldOut} held-out digits after step ${last.step}`]),
      ...(Number.isFinite(ms)
        ? [
          `${ms.toFixed(ms < 100 ? 1 : 0)} ms a step, ${
            (1000 * run.recipe.batchSize / ms).toFixed(0)
          } digits a second`,
        ]
        : []),
      adapterName(this.device),
    ];
    const place = byId("progress");
    place.textContent = parts.join(" · ");
    place.dataset.step = String(step);
    place.dataset.state = what.toLowerCase();
    // Not every step is read out; that it has ended is.
    place.setAttribute("aria-busy", String(what === "Training"));
    this.#draw(what !== "Training");
  }

  #draw(now: boolean): void {
    if (!now && performance.now() - this.#drawn < REDRAW) return;
    this.#drawn = performance.now();
    const { history: { losses, evaluations } } = this.#tuning!;
    if (losses.length === 0 && evaluations.length === 0) return byId("charts").replaceChildren();
    const points = losses.map((y, i) => ({ x: i + 1, y }));
    byId("charts").innerHTML = `<div>${
      lineChart([
        { name: "loss", color: "var(--b)", faint: true, points },
        { name: "loss", color: "var(--b)", points: runningMean(points) },
      ], {
        title: "Training loss (cross-entropy)",
        xTitle: "step",
        yFormat: (value) => value.toFixed(1),
        yMin: 0,
        ...(points.length === 0 && { yMax: 1 }),
      })
    }</div><div>${
      lineChart([{
        name: "held out",
        color: "var(--a)",
        points: evaluations.map(({ step, accuracy }) => ({ x: step, y: accuracy })),
      }], {
        title: "Accuracy on held-out digits",
        xTitle: "step",
        yFormat: (value) => `${Math.round(100 * value)} %`,
        yMin: 0,
        yMax: 1,
      })
    }</div>`;
  }

  #download(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const place = byId("saved");
    const old = place.querySelector("a");
    if (old) URL.revokeObjectURL(old.href);
    const href = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
    const link = element("a", { href, download: name }, name);
    place.replaceChildren("Saved: ", link, ` (${(bytes.byteLength / 1e6).toFixed(1)} MB)`);
    link.click();
    return Promise.resolve();
  }
}
