import { Buffer } from "node:buffer";
import sharp from "sharp";
import { run } from "../../cli/wgrad/recycle.ts";
import { loadWeights, saveSource } from "../../cli/weights.ts";
import { CheckpointError, DataError, ShapeError } from "../../engine/errors.ts";
import {
  type MoeVitOptions,
  VisionTransformer,
  VisionTransformerMoe,
  type VitOptions,
} from "../../models/mod.ts";
import { UsageError } from "../../cli/main.ts";
import { deterministicFill } from "../../referee/fill.ts";
import { assertAsReported } from "../models/recycled.ts";
import { assert, assertEquals, assertRejects, denoTest } from "../harness.ts";

const MOE: MoeVitOptions = {
  imgSize: 16,
  patchSize: 8,
  embedDim: 8,
  depth: 2,
  numHeads: 2,
  numClasses: 5,
  globalPool: "avg",
  moeLayers: [1],
  coreExperts: 2,
  univExperts: 3,
  slotLayernorm: true,
};
const VIT: VitOptions = {
  imgSize: 16,
  patchSize: 8,
  embedDim: 8,
  depth: 2,
  numHeads: 2,
  numClasses: 5,
};

/** A folder with a dense model `dense`, a wider one `wide`, the settings of a model, and pictures. */
function folderTest(name: string, fn: (folder: string) => Promise<void>): void {
  denoTest(name, async () => {
    const folder = await Deno.makeTempDir({ prefix: "wgrad_recycle_" });
    const log = console.log, error = console.error;
    try {
      console.log = console.error = () => {};
      await writeDense(`${folder}/dense.safetensors`, VIT);
      await writeDense(`${folder}/wide.safetensors`, { ...VIT, embedDim: 16, numHeads: 4 });
      await Deno.writeTextFile(`${folder}/moe.json`, JSON.stringify(MOE));
      await Deno.mkdir(`${folder}/pictures/deep`, { recursive: true });
      for (let i = 0; i < 3; i++) {
        const data = Buffer.from(
          Array.from({ length: 3 * 400 }, (_, k) => (k * (i + 2) * 37) % 256),
        );
        await sharp(data, { raw: { width: 20, height: 20, channels: 3 } })
          .toFile(`${folder}/pictures/${i === 1 ? "deep/" : ""}${i}.png`);
      }
      await fn(folder);
    } finally {
      Object.assign(console, { log, error });
      await Deno.remove(folder, { recursive: true });
    }
  }, { allowLeaks: true }); // libvips ends its threads by itself, later
}

/** A dense model's file, with the names of a model that was trained on several machines. */
async function writeDense(path: string, options: VitOptions): Promise<void> {
  const shapes = new VisionTransformer(options).stateShapes();
  await saveSource(path, {
    shapes: new Map([...shapes].map(([name, shape]) => [`module.${name}`, shape])),
    read: (name) => {
      const own = name.slice("module.".length);
      return Promise.resolve(deterministicFill(own, shapes.get(own)!));
    },
  });
}

/** A file's tensors, without the prefix. */
async function denseWeights(path: string) {
  const state = await loadWeights(path);
  return new Map([...state].map(([name, entry]) => [name.replace(/^module\./, ""), entry]));
}

folderTest("wgrad recycle writes a checkpoint and reports that agree", async (folder) => {
  const out = `${folder}/new/moe.safetensors`;
  const args = ["--from", `${folder}/dense.safetensors`, "--model", `${folder}/moe.json`];
  await run([...args, "--out", out, "--seed", "3"]);
  const weights = await loadWeights(out);
  const report = JSON.parse(await Deno.readTextFile(`${folder}/new/moe.report.json`));
  assertEquals([report.model, report.method, report.seed], ["moe.json", "random", 3]);
  const dense = await denseWeights(`${folder}/dense.safetensors`);
  assertAsReported({ weights, report }, dense);
  const loaded = new VisionTransformerMoe(MOE).loadStateDict(weights);
  assertEquals(loaded.loaded.length, report.entries.length);
  const text = await Deno.readTextFile(`${folder}/new/moe.report.txt`);
  assert(text.includes('prefix stripped: "module."'), text);
  assert(text.includes("univ_experts.vit_fc1.weight [3, 8, 8] <- blocks.1.mlp.fc1.weight"), text);
  const names = Array.from(Deno.readDirSync(`${folder}/new`), ({ name }) => name).sort();
  assertEquals(names, ["moe.report.json", "moe.report.txt", "moe.safetensors"]);
  // The same once more: the same bytes.
  const before = await Deno.readFile(out);
  await run([...args, "--out", out, "--seed", "3"]);
  assertEquals(await Deno.readFile(out), before);
});

folderTest("wgrad recycle chooses by pictures from a wider model and a trunk", async (folder) => {
  const out = `${folder}/moe.safetensors`, file = `${folder}/own.json`;
  const wide = await denseWeights(`${folder}/wide.safetensors`);
  const dense = await denseWeights(`${folder}/dense.safetensors`);
  const common = ["--from", `${folder}/wide.safetensors`, "--model", `${folder}/moe.json`];
  const pictures = ["--images", `${folder}/pictures`, "--batch", "2", "--out", out];
  for (const method of ["importance", "graph"]) {
    await run([...common, ...pictures, "--method", method, "--report", file]);
    const report = JSON.parse(await Deno.readTextFile(file));
    assertEquals(report.images.files.length, 3);
    assertEquals(report.entries.some(({ from }: { from: string }) => from === "trunk"), false);
    assertAsReported({ weights: await loadWeights(out), report }, wide);
  }
  const trunk = ["--trunk", `${folder}/dense.safetensors`];
  await run([...common, ...pictures, ...trunk, "--method", "importance", "--count", "2"]);
  const report = JSON.parse(await Deno.readTextFile(`${folder}/moe.report.json`));
  assertEquals([report.images.files.length, report.metric], [2, "L2"]);
  assertAsReported({ weights: await loadWeights(out), report }, wide, dense);
});

folderTest("wgrad recycle names what is wrong and leaves no file", async (folder) => {
  const out = `${folder}/out/moe.safetensors`;
  const fails = (
    error: Parameters<typeof assertRejects>[1],
    message: string,
    settings: Record<string, string> = {},
  ) => {
    const all = {
      from: `${folder}/dense.safetensors`,
      model: `${folder}/moe.json`,
      out,
      ...settings,
    };
    const args = Object.entries(all).flatMap(([name, value]) => [`--${name}`, value]);
    return assertRejects(() => run(args), error, message);
  };
  await fails(ShapeError, 'there is no model "V-Jet"; there are vit_tiny', { model: "V-Jet" });
  await fails(ShapeError, "is a dense model", { model: "vit_tiny_patch16_224" });
  await fails(ShapeError, 'no method "best"; there are copy, uniform, random', { method: "best" });
  await fails(UsageError, "--images DIR", { method: "graph" });
  await fails(UsageError, "--seed takes a whole number", { seed: "x" });
  const empty = `${folder}/empty`;
  await Deno.mkdir(empty);
  const importance = { method: "importance", images: empty };
  await fails(DataError, "there are no pictures in it", importance);
  await fails(CheckpointError, "there is no such file", { from: `${folder}/none.pth` });
  await fails(DataError, "it is a folder", { out: folder });
  const settings = async (options: object) => {
    await Deno.writeTextFile(`${folder}/other.json`, JSON.stringify({ ...MOE, ...options }));
    return { model: `${folder}/other.json` };
  };
  await fails(ShapeError, 'no setting "experts"; there are preset', await settings({ experts: 3 }));
  await fails(ShapeError, "has 64 hidden neurons", await settings({ compressRatio: 2 }));
  await fails(CheckpointError, "has 8 channels, the new one 16", await settings({ embedDim: 16 }));
  await fails(
    CheckpointError,
    "blocks, the new one 1",
    await settings({ depth: 1, moeLayers: [0] }),
  );
  await fails(CheckpointError, "a trunk must be as wide as the new model, 8 channels; it has 16", {
    trunk: `${folder}/wide.safetensors`,
  });
  const shapes = new Map([["conv1.weight", [2, 3, 3, 3]]]);
  const read = () => Promise.resolve(new Float32Array(54));
  await saveSource(`${folder}/cnn.safetensors`, { shapes, read });
  await fails(CheckpointError, "not the weights of a Vision Transformer", {
    from: `${folder}/cnn.safetensors`,
  });
  const left = Array.from(Deno.readDirSync(`${folder}/out`), ({ name }) => name);
  assertEquals(left, []);
});
