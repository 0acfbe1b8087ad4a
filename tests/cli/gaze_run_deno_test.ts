/** `wgrad gaze`: inputs of every kind, what is written, and what is wrong with files. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { gazeDemo, gazeSection } from "../../cli/gaze/demo.ts";
import { faceDetector } from "../../cli/gaze/detector.ts";
import { ffmpegHelp, hasFfmpeg, openVideo, ppmPictures } from "../../cli/gaze/ffmpeg.ts";
import { type FrameSource, openFrames } from "../../cli/gaze/frames.ts";
import { decodePicture } from "../../cli/gaze/pictures.ts";
import { type GazeJob, type GazeRun, runGaze } from "../../cli/gaze/run.ts";
import { CARD_KEY, optionsOfCard } from "../../cli/gaze/weights_card.ts";
import { ARMS, modelOptions } from "../../cli/gaze_experiment/arms.ts";
import { UsageError } from "../../cli/main.ts";
import { run as runProgram } from "../../cli/system.ts";
import { loadGazeModel, run as runCommand } from "../../cli/wgrad/gaze.ts";
import { saveWeights } from "../../cli/weights.ts";
import {
  type Box,
  overlap,
  parseHeadBoxes,
  type Picture,
  SyntheticClips,
} from "../../data/gaze/mod.ts";
import { CheckpointError, DataError, InterruptedError, requestDevice } from "../../engine/mod.ts";
import type { JsonObject } from "../../io/mod.ts";
import { McGaze, MCGAZE_PRESETS, type McGazeOptions } from "../../models/mod.ts";
import { assert, assertEquals, assertRejects, denoTest } from "../harness.ts";

/** As small as it gets, with first weights. */
const TINY: McGazeOptions = {
  backbone: { blocks: [1, 1, 1, 1], bottleneck: false, width: 4, frozenStages: -1 },
  stages: 1,
  channels: 8,
  heads: 2,
  hidden: 8,
  dynamicChannels: 4,
  roiSize: 2,
  finestScale: 16,
  unusedHeads: false,
};

const clip = new SyntheticClips({ split: "test", count: 1, size: 48 }).clip(0);

/** Frame t of the rendered clip, as a PNG file. */
function png(t: number, size = 48): Promise<Uint8Array> {
  const bytes = 3 * 48 * 48, data = clip.frames.subarray(t % 7 * bytes, (t % 7 + 1) * bytes);
  return sharp(data, { raw: { height: 48, width: 48, channels: 3 } }).resize(size).png().toBuffer();
}

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A folder of frames of the clip. */
async function writeFrames(folder: string, count: number): Promise<string> {
  const frames = join(folder, "in");
  await Deno.mkdir(frames);
  for (let t = 0; t < count; t++) await Deno.writeFile(join(frames, `f${t}.png`), await png(t));
  return frames;
}

/** Runs the tiny model on an input. */
async function run(input: string, out: string, options: Partial<GazeJob> = {}): Promise<GazeRun> {
  using device = await requestDevice({ seed: 1 });
  const model = await new McGaze(TINY).to(device, { seed: 1 });
  model.eval();
  return await runGaze({
    input,
    source: await openFrames(input, 32),
    model,
    size: 32,
    heads: { kind: "none" },
    out,
    facts: { weights: "none", detector: "none", adapter: device.label },
    ...options,
  });
}

/** Heads of a file: one in each of the frames. */
const boxesIn = (frames: readonly number[], box = [8, 4, 40, 44]) => ({
  kind: "file" as const,
  heads: parseHeadBoxes(JSON.stringify({ heads: frames.map((frame) => ({ frame, box })) }), "b"),
});

const resultsOf = async (out: string) =>
  JSON.parse(await Deno.readTextFile(join(out, "gaze.json")));

const namesIn = (folder: string): string[] =>
  [...Deno.readDirSync(folder)].map(({ name }) => name).sort();

denoTest(
  "runGaze() writes numbers and overlays, across frames that lack a head, are damaged or of another size",
  () =>
    inFolder(async (folder) => {
      const input = await writeFrames(folder, 12), out = join(folder, "out");
      await Deno.writeTextFile(join(input, "f4.png"), "no picture");
      await Deno.writeFile(join(input, "f11.png"), await png(11, 64));
      const warnings: string[] = [];
      const heads = boxesIn([0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11]);
      const { rows, frames, error } = await run(input, out, {
        heads,
        warn: (message) => warnings.push(message),
      });
      assertEquals([rows.length, frames, error], [10, 12, null]);
      assert(warnings.length === 1 && warnings[0].startsWith("frame 4 is left out"), `${warnings}`);
      const results = await resultsOf(out);
      assertEquals(results.complete, true);
      assertEquals(results.withoutHead, [8]);
      assertEquals(
        results.unreadable.map(({ frame, file }: { frame: number; file: string }) => [frame, file]),
        [
          [4, "f4.png"],
        ],
      );
      assert(results.note.includes("not validated"), results.note);
      assertEquals(
        results.heads.map((
          { frame, person, file }: Record<string, unknown>,
        ) => [frame, person, file]),
        [0, 1, 2, 3, 5, 6, 7, 9, 10, 11].map((t) => [t, t === 11 ? 1 : 0, `f${t}.png`]),
      );
      for (const { gaze, yaw, pitch } of results.heads) {
        assert(Math.abs(Math.hypot(...gaze) - 1) < 1e-4, `${gaze}`);
        assert(Math.abs(Math.sin(pitch * Math.PI / 180) - gaze[1]) < 1e-3, `${gaze} ${pitch}`);
        assert(Math.abs(Math.tan(yaw * Math.PI / 180) + gaze[0] / gaze[2]) < 0.1, `${gaze} ${yaw}`);
      }
      const csv = (await Deno.readTextFile(join(out, "gaze.csv"))).trim().split("\n");
      assertEquals(csv.length, 11);
      assert(csv[1].startsWith("0,f0.png,,0,8,4,40,44,"), csv[1]);
      assertEquals(namesIn(out), ["frames", "gaze.csv", "gaze.json", "gaze.webp"]);
      assertEquals(namesIn(join(out, "frames")).length, 11);
      const moving = await sharp(join(out, "gaze.webp")).metadata();
      assertEquals([moving.pages, moving.width], [11, 240]);
      // What was written can be given back as boxes.
      const again = parseHeadBoxes(await Deno.readTextFile(join(out, "gaze.json")), "gaze.json");
      assertEquals(again.of(9, "f9.png"), [{ box: [8, 4, 40, 44], person: 0 }]);
    }),
);

denoTest(
  "runGaze() keeps what is finished when it is stopped or an input ends badly",
  () =>
    inFolder(async (folder) => {
      const input = await writeFrames(folder, 10), out = join(folder, "out");
      const stop = new AbortController();
      const source = await openFrames(input, 32);
      const stopping = {
        ...source,
        async *frames() {
          let t = 0;
          for await (const frame of source.frames()) {
            if (t++ === 8) stop.abort();
            yield frame;
          }
        },
      };
      const stopped = run(input, out, { source: stopping, signal: stop.signal });
      await assertRejects(() => stopped, InterruptedError, "what is finished is in");
      const { complete, heads } = await resultsOf(out);
      assertEquals([complete, heads.length], [false, 9]);
      const outside = {
        kind: "file" as const,
        heads: parseHeadBoxes(
          '{"heads": [{"frame": 0, "box": [1, 1, 40, 40]}, {"frame": 3, "box": [48, 0, 60, 9]}]}',
          "b",
        ),
      };
      await assertRejects(
        () => run(input, out, { heads: outside }),
        DataError,
        "frame 3 (f3.png): the head's box lies outside its frame of 48 x 48 pixels: [48, 0, 60, 9]",
      );
      assertEquals((await resultsOf(out)).heads.length, 1);
    }),
);

/** An input whose frame `at` does something first. */
const disturbed = (source: FrameSource, at: number, what: () => void): FrameSource => ({
  ...source,
  async *frames() {
    let t = 0;
    for await (const frame of source.frames()) {
      if (t++ === at) what();
      yield frame;
    }
  },
});

denoTest(
  "runGaze() goes on behind a stop, a broken input and a kill, as if there had been none",
  () =>
    inFolder(async (folder) => {
      const input = await writeFrames(folder, 14), out = join(folder, "out");
      await Deno.writeTextFile(join(input, "f2.png"), "no picture");
      const source = await openFrames(input, 32), asked: Picture[] = [], warnings: string[] = [];
      const detect = (picture: Picture) => {
        asked.push(picture);
        return Promise.resolve([[16, 16, 32, 34] as const]);
      };
      const options = {
        heads: { kind: "detector", detect, every: 2 },
        settings: { size: 32 },
        warn: (message: string) => void warnings.push(message),
      } as const;
      await run(input, join(folder, "whole"), options);
      const once = asked.splice(0).length;
      assertEquals(once, 7); // every second of 13 frames

      const stop = new AbortController();
      const stopping = disturbed(source, 12, () => stop.abort());
      const stopped = run(input, out, { ...options, source: stopping, signal: stop.signal });
      await assertRejects(() => stopped, InterruptedError, "the same command goes on");
      const journal = join(out, "gaze.jsonl");
      const finished = (await Deno.readTextFile(journal)).match(/"gaze"/g)?.length;
      assertEquals(finished, 5); // two clips of 7, 4 apart; a last one may begin with the sixth head
      const breaking = disturbed(source, 13, () => {
        throw new DataError("v.mp4: ffmpeg stopped after frame 12");
      });
      await assertRejects(
        () => run(input, out, { ...options, source: breaking }),
        DataError,
        "stopped after frame 12",
      );
      assertEquals((await resultsOf(out)).complete, false);
      assert(warnings.some((text) => text.includes("the same command goes on")), `${warnings}`);
      // A kill while a line was written.
      await Deno.writeTextFile(journal, '{"frame":13,"di', { append: true });
      const { rows } = await run(input, out, options);
      assertEquals([rows.length, asked.length], [13, once]);
      const [whole, pieced] = [await resultsOf(join(folder, "whole")), await resultsOf(out)];
      assertEquals(pieced, whole);
      assertEquals(namesIn(out), ["frames", "gaze.csv", "gaze.json", "gaze.webp"]);
      for (const name of namesIn(join(folder, "whole", "frames"))) {
        const [a, b] = await Promise.all(
          [out, join(folder, "whole")].map((path) => Deno.readFile(join(path, "frames", name))),
        );
        assertEquals(a.length, b.length, name);
      }
      const csv = (path: string) => Deno.readTextFile(join(path, "gaze.csv"));
      assertEquals(await csv(out), await csv(join(folder, "whole")));
    }),
);

denoTest(
  "runGaze() begins anew with other settings, and where a frame is not what it was",
  () =>
    inFolder(async (folder) => {
      const input = await writeFrames(folder, 9), out = join(folder, "out");
      const warnings: string[] = [];
      const stopped = async (settings: JsonObject) => {
        const stop = new AbortController();
        const source = disturbed(await openFrames(input, 32), 8, () => stop.abort());
        const warn = (message: string) => void warnings.push(message);
        const options = { source, settings, warn, signal: stop.signal };
        await assertRejects(() => run(input, out, options), InterruptedError);
      };
      await stopped({ size: 32 });
      await stopped({ size: 64 });
      assertEquals(warnings, []);
      await Deno.writeFile(join(input, "f3.png"), await png(5));
      const { rows } = await run(input, out, {
        settings: { size: 64 },
        warn: (message) => warnings.push(message),
      });
      assertEquals(rows.length, 9);
      assertEquals(warnings, [
        "going on: 9 frames were seen before, their results are kept",
        "frame 3 (f3.png) is not what it was in the run that was stopped; beginning anew",
      ]);
      await stopped({ size: 64 });
      await Deno.remove(join(input, "f8.png"));
      warnings.length = 0;
      const shorter = await run(input, out, {
        settings: { size: 64 },
        warn: (message) => warnings.push(message),
      });
      assertEquals([shorter.rows.length, shorter.frames, warnings.length], [8, 8, 2]);
      assert(warnings[1].endsWith("has 8 frames, 9 were seen before; beginning anew"), warnings[1]);
    }),
);

denoTest(
  "runGaze() refuses what has no head or no frame, and leaves nothing behind",
  () =>
    inFolder(async (folder) => {
      const input = await writeFrames(folder, 2), out = join(folder, "out");
      const none = { heads: boxesIn([]) };
      await assertRejects(
        () => run(input, out, none),
        DataError,
        "no head was found in any of 2 frames",
      );
      assertEquals(namesIn(out), []);
      for (const name of namesIn(input)) await Deno.writeTextFile(join(input, name), "x");
      await assertRejects(
        () => run(input, out),
        DataError,
        "no frame can be read; the first: cannot read",
      );
      assertEquals(namesIn(out), []);
    }),
);

denoTest(
  "runGaze() holds a detector's heads between the frames it looks at, and asks anew at another size",
  () =>
    inFolder(async (folder) => {
      const input = await writeFrames(folder, 5), out = join(folder, "out");
      await Deno.writeFile(join(input, "f4.png"), await png(4, 64));
      const asked: number[] = [];
      const detect = ({ width }: Picture) => {
        asked.push(width);
        return Promise.resolve([[16, 16, 32, 34] as const]);
      };
      const heads = { kind: "detector", detect, every: 3 } as const;
      const { rows } = await run(input, out, { heads, stills: true });
      assertEquals(asked, [48, 48, 64]);
      assertEquals(rows.map(({ person }) => person), [0, 1, 2, 3, 4]);
      assertEquals(rows[0].box, rows[1].box);
      const wide = await run(input, out, { heads, stills: true, headShare: 0.86 });
      assert(
        rows[0].gaze.some((value, k) => value !== wide.rows[0].gaze[k]),
        "the square is wider",
      );
    }),
);

denoTest(
  "a rendered clip has its true gaze, and the error is the mean angle to it",
  () =>
    inFolder(async (folder) => {
      const { rows, error, frames } = await run("rendered:2", join(folder, "out"));
      assertEquals([rows.length, frames], [7, 7]);
      const mean = rows.reduce((sum, { gaze, truth }) => {
        const cosine = gaze.reduce((dot, value, k) => dot + value * truth![k], 0);
        return sum + Math.acos(cosine) * 180 / Math.PI / 7;
      }, 0);
      assert(Math.abs(mean - error!) < 0.05, `${mean} ${error}`);
    }),
);

denoTest(
  "openFrames() decodes animations page by page, with their times",
  () =>
    inFolder(async (folder) => {
      const pages = await Promise.all([0, 1, 2].map((t) => png(t)));
      const path = join(folder, "clip.gif");
      await sharp(pages, { join: { animated: true } }).gif({ delay: [100, 250, 40] }).toFile(path);
      const source = await openFrames(path, 32);
      assertEquals([source.kind, source.count], ["animation of 3 frames", 3]);
      const frames = await Array.fromAsync(source.frames());
      assertEquals(frames.map(({ name }) => name), ["clip.gif#0", "clip.gif#1", "clip.gif#2"]);
      assertEquals(frames.map(({ seconds }) => seconds), [0, 0.1, 0.35]);
      const { height, width, data } = frames[2].picture!;
      assertEquals([height, width, data.length], [48, 48, 3 * 48 * 48]);
      const off = data.reduce(
        (sum, v, i) => sum + Math.abs(v - clip.frames[2 * data.length + i]),
        0,
      );
      assert(off / data.length < 12, `${off / data.length}`); // a palette of 256 colours
    }),
);

denoTest(
  "openFrames() takes frames in the order of their numbers, and says what is no input",
  () =>
    inFolder(async (folder) => {
      const input = await writeFrames(folder, 11);
      const names = (await Array.fromAsync((await openFrames(input, 32)).frames())).map((f) =>
        f.name
      );
      assertEquals(names, Array.from({ length: 11 }, (_, t) => `f${t}.png`));
      const refused = (name: string, message: string) =>
        assertRejects(() => openFrames(join(folder, name), 32), DataError, message);
      await refused("none", "there is no such file or folder");
      await Deno.mkdir(join(folder, "empty"));
      await refused("empty", "there are no pictures in it");
      await Deno.writeTextFile(join(folder, "text.txt"), "hello");
      await refused("text.txt", "is no picture, and no video by its name");
      await Deno.writeFile(join(folder, "dot.png"), await png(0, 4));
      const dot = await openFrames(join(folder, "dot.png"), 32);
      await assertRejects(() => dot.frames().next(), DataError, "has 4 x 4 pixels");
      const whole = await png(0);
      await Deno.writeFile(join(folder, "cut.png"), whole.subarray(0, whole.length >> 1));
      const cut = await openFrames(join(folder, "cut.png"), 32);
      await assertRejects(() => cut.frames().next(), DataError, "it is damaged or no picture");
    }),
);

denoTest(
  "openVideo() decodes a video through ffmpeg; a damaged one, or no ffmpeg, is told",
  () =>
    inFolder(async (folder) => {
      assert(await hasFfmpeg(), `there is no ffmpeg in PATH; install it:  ${ffmpegHelp()}`);
      const input = await writeFrames(folder, 6), path = join(folder, "v.mkv");
      const made = await runProgram([
        ...["ffmpeg", "-v", "error", "-framerate", "5", "-i", join(input, "f%d.png")],
        ...["-c:v", "ffv1", "-pix_fmt", "bgr0", path],
      ]);
      assertEquals(made.code, 0, made.stderr);
      const source = await openFrames(path, 32);
      const frames = await Array.fromAsync(source.frames());
      assertEquals(
        frames.map(({ name, seconds }) => [name, seconds]),
        [0, 1, 2, 3, 4, 5].map((t) => [
          `v.mkv#${t}`,
          t / 5,
        ]),
      );
      assertEquals(frames[3].picture, { // ffv1 loses nothing
        height: 48,
        width: 48,
        data: clip.frames.slice(3 * 3 * 48 * 48, 4 * 3 * 48 * 48),
      });
      for await (const _ of source.frames()) break; // ends ffmpeg
      await Deno.writeTextFile(join(folder, "text.mp4"), "hello");
      const text = await openFrames(join(folder, "text.mp4"), 32);
      await assertRejects(() => text.frames().next(), DataError, "ffmpeg finds no video in it");
      const missing = { ffmpeg: "/nowhere/ffmpeg", ffprobe: "/nowhere/ffprobe" };
      await assertRejects(
        () => openVideo(path, missing),
        DataError,
        "no ffmpeg in PATH to decode it; install it:",
      );
    }),
);

denoTest(
  "ppmPictures() puts pictures together from any pieces, and refuses half of one",
  async () => {
    const header = new TextEncoder().encode("P6\n2 1\n255\n");
    const bytes = [1, 2].flatMap((value) => [...header, ...new Array(6).fill(value)]);
    for (const piece of [1, 3, 16, 17, 100]) {
      const pieces = Array.from(
        { length: Math.ceil(bytes.length / piece) },
        (_, i) => Uint8Array.from(bytes.slice(piece * i, piece * (i + 1))),
      );
      const pictures = await Array.fromAsync(ppmPictures(ReadableStream.from(pieces)));
      assertEquals(pictures.map(({ data }) => [...data]), [
        new Array(6).fill(1),
        new Array(6).fill(2),
      ]);
    }
    const refused = (bytes: number[], message: string) =>
      assertRejects(
        () => Array.fromAsync(ppmPictures(ReadableStream.from([Uint8Array.from(bytes)]))),
        DataError,
        message,
      );
    await refused(bytes.slice(0, -1), "the last frame is cut off");
    await refused(bytes.slice(0, 5), "the last frame is cut off");
    await refused(new Array(40).fill(7), "no PPM picture");
  },
);

denoTest(
  "faceDetector() finds the faces of a photograph, and the demo shows where they look",
  () =>
    inFolder(async (folder) => {
      using device = await requestDevice({ seed: 1 });
      const model = await new McGaze({ ...TINY, imageSize: 32 }).to(device, { seed: 1 });
      const demo = await gazeDemo(device, model, folder);
      assert("process" in globalThis, "process is hidden only while the detector loads");
      const { heads } = await resultsOf(join(folder, "photograph"));
      // Hair to chin as read off the photograph by eye; a neighbour's box overlaps with none of it.
      const seen = [[393, 269, 626, 588], [836, 319, 1040, 659], [1453, 183, 1669, 461]] as const;
      assertEquals([demo.heads, heads.length], [3, 3]);
      for (const head of seen) {
        assert(
          heads.some(({ box }: { box: Box }) => overlap(box, head) > 0.55),
          JSON.stringify(heads),
        );
      }
      // The tiny network's boxes of the second photograph's faces are nearly those of the other (detector.ts).
      const path = fileURLToPath(import.meta.resolve("@vladmandic/face-api/demo/sample2.jpg"));
      const picture = await decodePicture(await Deno.readFile(path), path);
      const faces = await (await faceDetector("tiny"))(picture);
      const ssd = [[1446, 154, 1641, 396], [898, 223, 1053, 451], [361, 135, 511, 388]] as const;
      assertEquals(faces.length, 3);
      for (const face of ssd) {
        assert(faces.some((box) => overlap(box, face) > 0.6), JSON.stringify(faces));
      }
      const section = gazeSection(demo);
      assert(section.includes("not validated on people"), "label");
      assert(section.includes(`${demo.error.toFixed(1)}°`), section.slice(0, 300));
      assertEquals(section.split("data:image/webp;base64,").length, 3);
    }),
  { timeout: 240 },
);

denoTest(
  "wgrad gaze says which option is wrong, and what is missing of the weights",
  () =>
    inFolder(async (folder) => {
      const wrong = (args: string[], message: string) =>
        assertRejects(() => runCommand(args), UsageError, message);
      await wrong([], "want one input");
      await wrong(["a", "b"], "got 2");
      await wrong(["a", "--detector", "human"], "--detector is ssd, tiny or none, not human");
      await wrong(["a", "--boxes", "b", "--detector", "none"], "exclude each other");
      await wrong(["a", "--preset", "big"], "--preset is one of");
      await wrong(["a", "--every", "0"], "every");
      await wrong(["a", "--head-share", "5"], "--head-share takes a number from 0.2 to 3, not 5");
      const weights = join(folder, "w.safetensors");
      await assertRejects(
        () => runCommand(["rendered", "--weights", weights]),
        DataError,
        "w.safetensors: there are no weights here; train them (deno task wgrad train-gaze)",
      );
      using device = await requestDevice();
      await saveWeights(weights, await new McGaze(TINY).to(device, { seed: 1 }));
      await assertRejects(() => loadGazeModel(weights), CheckpointError, "backbone");
      const { model, sha256 } = await loadGazeModel(weights, TINY);
      assertEquals([model.config.channels, sha256.length], [8, 64]);
    }),
);

denoTest(
  "weights that lack clues and attention load by their card; a damaged card is refused",
  () =>
    inFolder(async (folder) => {
      const weights = join(folder, "w.safetensors");
      const options = { ...TINY, clues: ["head"] as const, temporal: false, imageSize: 32 };
      using device = await requestDevice();
      const trained = await new McGaze(options).to(device, { seed: 1 });
      const save = (card: string) => saveWeights(weights, trained, [[CARD_KEY, card]]);
      await save(JSON.stringify({ config: { model: options } }));
      const { model } = await loadGazeModel(weights);
      assertEquals(model.config, trained.config);
      assertEquals(model.config.clues, ["head"]);
      const refused = async (config: unknown, message: string) => {
        await save(JSON.stringify({ config }));
        await assertRejects(() => loadGazeModel(weights), CheckpointError, message);
      };
      await refused({}, "no card: model is no object");
      await refused({ model: { chanels: 8 } }, "there is no setting model.chanels");
      await refused({ model: { heads: "2" } }, "model.heads is no number");
      await refused({ model: { clues: "head" } }, "model.clues is no list");
      await refused({ model: { backbone: { blocks: [1, null] } } }, "model.backbone.blocks[1]");
      await save("{");
      await assertRejects(() => loadGazeModel(weights), CheckpointError, "is not JSON");
      for (
        const made of [
          ...Object.values(MCGAZE_PRESETS),
          ...ARMS.map((a) => modelOptions(a, 96)),
        ]
      ) {
        const card = new Map([[CARD_KEY, JSON.stringify({ config: { model: made } })]]);
        assertEquals(optionsOfCard(card, "w"), made);
      }
      // The command takes the model's own size and clues from the card.
      await save(JSON.stringify({ config: { model: options } }));
      const out = join(folder, "out");
      await runCommand(["rendered:1", "--weights", weights, "--out", out]);
      const { heads, complete } = await resultsOf(out);
      assertEquals([heads.length, complete], [7, true]);
      assertEquals(Object.keys(heads[0].clues), ["head"]);
    }),
);
