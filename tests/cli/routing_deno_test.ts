/** Routing: weights that sum to 1, pictures, sheets; plots in the terminal; logs. */
import { join } from "node:path";
import { routingPictures, usagePictures } from "../../cli/routing/pictures.ts";
import { routingOf, usageOf } from "../../cli/routing/routing.ts";
import { routingSheet } from "../../cli/routing/sheet.ts";
import { LivePlot, terminalPlot } from "../../cli/report/terminal_plot.ts";
import { RunLog } from "../../cli/training/run_log.ts";
import { normalise } from "../../data/mod.ts";
import { CheckpointError, type Device, requestDevice } from "../../engine/mod.ts";
import { type MoeVitOptions, visionModel } from "../../models/mod.ts";
import { numberedSet } from "../data/support.ts";
import { assert, assertClose, assertEquals, assertRejects, denoTest } from "../harness.ts";

const SMALL: MoeVitOptions = {
  imgSize: [4, 6],
  patchSize: 2,
  inChans: 1,
  numClasses: 3,
  embedDim: 8,
  depth: 2,
  numHeads: 2,
  moeLayers: [0, 1],
  coreExperts: 2,
  univExperts: 3,
  slotsPerExpert: 2,
};

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

async function route(device: Device, options: MoeVitOptions) {
  const model = (await visionModel(options).to(device, { seed: 1 })).eval();
  const image = Float32Array.from({ length: 24 }, (_, i) => i / 24);
  const layers = await routingOf(device, model, image);
  const images = numberedSet(20, 4, 6, 1);
  const usage = await usageOf(device, model, images, normalise(0.5, 0.5), 20);
  model.dispose();
  return { layers, usage };
}

denoTest("routingOf() and usageOf() give shares, of both kinds of layers", async () => {
  using device = await requestDevice();
  const soft = { ...SMALL, ifDualpath: false, numExperts: 5 };
  for (const [options, core] of [[SMALL, 2], [soft, 5]] as const) {
    const { layers, usage } = await route(device, options);
    assertEquals(layers.map(({ layer }) => layer), ["blocks.0.mlp", "blocks.1.mlp"]);
    for (const { dispatch, combine, coreExperts } of layers) {
      assertEquals([dispatch.length, dispatch[0].length, combine[0].length, coreExperts], [
        5,
        6,
        6,
        core,
      ]);
      // What is missing to 1 is the class token's.
      assert(dispatch.every((weights) => sum(weights) > 0.5 && sum(weights) < 1));
      const columns = combine[0].map((_, patch) => sum(combine.map((weights) => weights[patch])));
      assertClose(columns, new Array(6).fill(1), { atol: 2e-3 }); // rounded to four digits
    }
    for (const { share, active } of usage) {
      assertClose([sum(share)], [1], { atol: 1e-5 });
      assert(active.every((value) => value >= 0 && value <= 1));
    }
  }
});

denoTest("pictures and sheets show every expert, core ones marked", async () => {
  using device = await requestDevice();
  const { layers, usage } = await route(device, SMALL);
  const image = {
    caption: "<one>",
    channels: 1,
    height: 4,
    width: 6,
    pixels: new Array(24).fill(200),
    layers,
  };
  const html = routingPictures([image]) + usagePictures(usage, 20);
  for (const text of ["core 1", "univ 2", "&#60;one&#62;", "blocks.1.mlp, combine", "universal"]) {
    assert(html.includes(text), text);
  }
  assert(!/NaN|undefined/.test(html));
  const { height, width, data } = routingSheet(image);
  assertEquals([height, width, data.length], [4 * 60 + 4, 6 * 60 + 4, 3 * height * width]);
  const at = (
    x: number,
    y: number,
  ): number[] => [...data.subarray(3 * (y * width + x), 3 * (y * width + x) + 3)];
  assertEquals([at(5, 5), at(65, 5)], [[200, 200, 200], [255, 157, 92]]); // the image, a core expert's frame
  assert(at(4 + 60 * 3 + 1, 5)[2] !== 92, "a universal expert has none");
});

denoTest(
  "terminalPlot() draws a line between the points, and LivePlot takes the place of the last",
  () => {
    const [title, top, bottom] = terminalPlot("t", [{ x: 0, y: 0 }, { x: 8, y: 4 }], 8, {
      width: 4,
      height: 2,
    });
    assertEquals([title.trim(), top.slice(0, 11), bottom.slice(0, 11)], [
      "t",
      "     4.00 ┤",
      "     0.00 ┤",
    ]);
    assert(/^[\u2800-\u28ff]{4}$/.test(top.slice(11)) && !bottom.endsWith("\u28ff"));
    assertEquals(terminalPlot("t", [], 8, { width: 2, height: 1 })[1].trim(), "┤\u2800\u2800");
    let text = "";
    const plot = new LivePlot({
      write: (more) => void (text += more),
      interactive: true,
      columns: 30,
    });
    plot.draw(["a", "b"]);
    plot.draw(["c"]);
    assertEquals(text, "\r\x1b[Ja\nb\n\r\x1b[2A\x1b[Jc\n");
  },
);

denoTest("a log goes on without the lines of steps that are taken again", async () => {
  const folder = await Deno.makeTempDir();
  const path = join(folder, "log.jsonl");
  try {
    const log = await RunLog.open(path, 0);
    for (const step of [1, 2, 3]) await log.write({ step, loss: step / 2 });
    await Deno.writeTextFile(path, '{"step":4,"lo', { append: true });
    await (await RunLog.open(path, 2)).write({ step: 3, loss: 7 });
    const lines = (await Deno.readTextFile(path)).trim().split("\n").map((line) =>
      JSON.parse(line)
    );
    assertEquals(lines.map(({ loss }) => loss), [0.5, 1, 7]);
    await assertRejects(
      () => RunLog.open(join(folder, "none/log"), 0),
      CheckpointError,
      "cannot write",
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
