/**
 * Brings the page on mixtures of experts to life.
 * @module
 */
import { showAdapter } from "../../client/device.ts";
import { blobSource, type ByteSource, bytesSource } from "../../../io/mod.ts";
import type { Device } from "../../../mod.ts";
import { byId, complain, onFile } from "./elements.ts";
import { fetched } from "./fetched.ts";
import { Look } from "./look.ts";
import { type LoadedModel, openFile } from "./model.ts";
import { MOE_WEIGHTS } from "./places.ts";
import { Tune } from "./tune.ts";

const device = await showAdapter();
const look = new Look(device);
if (device === null) explainMissing();
else await bringToLife(device).catch((error) => complain("refused", error));

/** Without WebGPU nothing answers, but the text and the pad are there. */
function explainMissing(): void {
  const place = byId("missing");
  place.textContent = `No model can answer or learn on this page here. ${
    byId("adapter").textContent
  } What is explained below is true all the same, and one can still draw.`;
  place.hidden = false;
  byId("model").textContent = "No model is loaded.";
  byId("progress").textContent = "Training needs WebGPU.";
  for (const id of ["weights", "run", "original", "start"]) {
    byId<HTMLInputElement | HTMLButtonElement>(id).disabled = true;
  }
  look.samples().catch((error) => complain("refused", error));
  document.documentElement.dataset.ready = "";
}

async function bringToLife(device: Device): Promise<void> {
  const tune = new Tune(device, look);
  let original: LoadedModel | null = null;
  let opened: ByteSource | null = null;

  /** Shows a model; the one before is given back unless it is still needed. */
  const show = (model: LoadedModel): void => {
    const before = look.model;
    look.use(model);
    if (before !== null && before !== original && before !== model && !tune.owns(before)) {
      before.net.dispose();
    }
  };
  const open = async (file: ByteSource, heads?: number): Promise<void> => {
    complain("refused", null);
    try {
      const found = await openFile(device, file, heads);
      if (found.kind === "run") return await tune.restore(found.run, found.checkpoint);
      opened = file;
      show(found.model);
    } catch (error) {
      complain("refused", error);
    }
  };

  onFile("weights", (file) => open(blobSource(file)));
  onFile("run", (file) => open(blobSource(file)));
  byId("heads").addEventListener("change", () => {
    const heads = byId<HTMLInputElement>("heads");
    if (opened !== null && heads.checkValidity()) open(opened, Number(heads.value));
  });
  byId("original").addEventListener("click", () => {
    complain("refused", null);
    if (original !== null) show(original);
  });
  // Files can be dropped anywhere on the page: pictures are looked at, all else is taken for weights.
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    const file = event.dataTransfer?.files[0];
    if (file === undefined) return;
    if (file.type.startsWith("image/")) look.picture(file);
    else open(blobSource(file));
  });

  await look.samples();
  const first = await openFile(device, bytesSource(await fetched(MOE_WEIGHTS), MOE_WEIGHTS));
  if (first.kind === "model") show(original = first.model);
}
