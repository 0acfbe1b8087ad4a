/**
 * Brings the page on gaze to life.
 * @module
 */
import { gazeCsv, gazeJson } from "../../../cli/gaze/rows.ts";
import { blobSource, bytesSource } from "../../../io/mod.ts";
import type { Device } from "../../../mod.ts";
import { showAdapter } from "../../client/device.ts";
import { element } from "../../client/dom.ts";
import { byId, complain, onFile } from "../moe/elements.ts";
import { fetched } from "../moe/fetched.ts";
import { pageDetector } from "./detector.ts";
import { Follow } from "./follow.ts";
import { GAZE_WEIGHTS } from "./places.ts";
import { cameraSource, fileSource, type PageSource, sampleClip } from "./sources.ts";
import { errorOf, showFrame, showStages } from "./view.ts";
import { type LoadedGaze, loadGaze } from "./weights.ts";

const INPUTS = ["sample", "camera", "file", "whole", "weights"] as const;
const status = byId("status");

let loaded: LoadedGaze | undefined;
let follow: Follow | undefined;
let running: AbortController | undefined;

const device = await showAdapter();
if (device === null) {
  const missing = byId("missing");
  missing.textContent = `Nothing can be computed here. ${byId("adapter").textContent}`;
  missing.hidden = false;
  status.textContent = "The model needs WebGPU.";
  for (const id of INPUTS) byId<HTMLButtonElement | HTMLInputElement>(id).disabled = true;
} else await bringToLife(device);
document.documentElement.dataset.ready = "";

async function bringToLife(device: Device): Promise<void> {
  byId("sample").addEventListener("click", () => look(device, () => sampleClip(sideOf())));
  byId("camera").addEventListener("click", () => look(device, cameraSource));
  onFile("file", (file) => look(device, () => fileSource(file)));
  byId("stop").addEventListener("click", () => running?.abort());
  onFile("weights", async (file) => {
    complain("refused", null);
    try {
      use(await loadGaze(device, blobSource(file), file.name));
    } catch (error) {
      complain("refused", error);
    }
  });
  const save = (id: string, type: string, text: (follow: Follow) => string) =>
    byId(id).addEventListener("click", () => {
      const url = URL.createObjectURL(new Blob([text(follow!)], { type }));
      element("a", { href: url, download: `gaze.${id}` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
    });
  save("json", "application/json", ({ facts, rows }) => gazeJson(facts, rows));
  save("csv", "text/csv", ({ rows }) => gazeCsv(rows));
  try {
    use(
      await loadGaze(device, bytesSource(await fetched(GAZE_WEIGHTS), GAZE_WEIGHTS), GAZE_WEIGHTS),
    );
    status.textContent = "Choose what to look at.";
  } catch (error) {
    complain("refused", error);
    status.textContent = "Choose a weights file below.";
  }
}

function use(model: LoadedGaze): void {
  running?.abort();
  const before = loaded;
  loaded = model;
  if (running === undefined) before?.model.dispose();
  const { clues, temporal } = model.model.config;
  byId("model").textContent = `${model.label}: ${clues.join(", ")}${
    temporal ? ", over time" : ", frame by frame"
  }, heads of ${sideOf()} pixels.`;
}

/** Side of what the model is shown. */
function sideOf(): number {
  return loaded!.model.config.imageSize;
}

/** Looks at a source until it ends or somebody stops it. A camera that does not start leaves the sample clip. */
async function look(device: Device, open: () => PageSource): Promise<void> {
  if (loaded === undefined) return complain("refused", new Error("Choose a weights file first."));
  running?.abort();
  const own = running = new AbortController();
  complain("refused", null);
  byId("latest").replaceChildren();
  byId<HTMLButtonElement>("stop").disabled = false;
  document.documentElement.dataset.gaze = "running";
  const source = open();
  try {
    const whole = source.heads || byId<HTMLInputElement>("whole").checked;
    status.textContent = whole ? "Looking …" : "Loading the face detector …";
    const detect = whole ? null : await pageDetector(device.software);
    const mine = follow = new Follow(source, loaded, device.label, detect);
    status.textContent = "Looking …";
    await mine.run((answered) => {
      showFrame(answered);
      showStages(mine);
    }, own.signal);
    status.textContent = summary(mine, own.signal.aborted);
  } catch (error) {
    complain("refused", error);
    status.textContent = "It ended early.";
    if (source.label === "camera") {
      await look(device, () => sampleClip(sideOf()));
      complain("refused", error); // said beside the clip
      return;
    }
  } finally {
    if (running === own) {
      running = undefined;
      byId<HTMLButtonElement>("stop").disabled = true;
      for (const id of ["json", "csv"]) {
        byId<HTMLButtonElement>(id).disabled = !follow || follow.rows.length === 0;
      }
      document.documentElement.dataset.gaze = "idle";
    }
  }
}

function summary({ count, rows }: Follow, stopped: boolean): string {
  const errors = rows.map(errorOf).filter((error) => error !== null);
  const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
  return `${stopped ? "Stopped" : "Done"}: ${count} frames, ${rows.length} heads${
    errors.length > 0 ? `, ${mean.toFixed(1)}° off the true gaze on average` : ""
  }.`;
}
