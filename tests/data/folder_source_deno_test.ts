/** Folders of pictures as sources: parts, division, decoding, fingerprints. */
import { join } from "node:path";
import { encodePng } from "../../cli/png.ts";
import { limited } from "../../cli/training/data.ts";
import { withChannels } from "../../cli/training/channels.ts";
import { openImageFolder } from "../../data/folder_source.ts";
import { loadCifarFolder } from "../../data/files.ts";
import { BatchLoader, centerResizedCrop, Rng } from "../../data/mod.ts";
import { DataError } from "../../engine/errors.ts";
import { assert, assertClose, assertEquals, assertRejects, denoTest } from "../harness.ts";

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "wgrad-pictures-" });
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A picture of one colour. */
async function picture(path: string, height: number, width: number, rgb: number[]): Promise<void> {
  await Deno.mkdir(join(path, ".."), { recursive: true });
  const data = Uint8Array.from({ length: 3 * height * width }, (_, i) => rgb[i % 3]);
  await Deno.writeFile(path, await encodePng({ height, width, data }));
}

denoTest(
  "openImageFolder() reads train and val; a loader brings sizes together",
  () =>
    inFolder(async (folder) => {
      await picture(join(folder, "train/red/a.png"), 5, 9, [255, 0, 0]);
      await picture(join(folder, "train/red/b.png"), 8, 4, [255, 0, 0]);
      await picture(join(folder, "train/blue/c.png"), 6, 6, [0, 0, 255]);
      await picture(join(folder, "val/blue/d.png"), 6, 6, [0, 0, 255]);
      await assertRejects(() => openImageFolder(folder), DataError, 'class "red"');
      await picture(join(folder, "val/red/e.png"), 6, 6, [255, 0, 0]);
      const { train, test } = await openImageFolder(folder);
      assertEquals([train.count, test.count, train.names, [...Array.from(train.labels)]], [
        3,
        2,
        ["blue", "red"],
        [0, 1, 1],
      ]);
      const loader = new BatchLoader(train, {
        batchSize: 3,
        shuffle: false,
        transform: centerResizedCrop(4, 4),
      });
      for await (const { images, shape, labels } of loader.epoch()) {
        assertEquals([[...shape], [...labels]], [[3, 3, 4, 4], [0, 1, 1]]);
        assertClose([images[2 * 16], images[48], images[49 + 32]], [1, 1, 0], { atol: 1e-6 });
      }
      const print = train.fingerprint;
      await picture(join(folder, "train/red/f.png"), 8, 4, [255, 0, 0]);
      assert((await openImageFolder(folder)).train.fingerprint !== print);

      const grey = await withChannels(test, 1).image(0);
      assertClose([grey.channels, grey.data[0]], [1, 0.114], { atol: 1e-6 });
      assertEquals(limited(train, 2, new Rng(0)).labels, Uint32Array.of(0, 1), "both classes");
    }),
);

denoTest(
  "openImageFolder() holds a share of each class out of a folder with one part",
  () =>
    inFolder(async (folder) => {
      for (let i = 0; i < 10; i++) {
        await picture(join(folder, `a/${i}.png`), 4, 4, [i, 0, 0]);
        if (i < 5) await picture(join(folder, `b/${i}.png`), 4, 4, [0, i, 0]);
      }
      const files = async (seed: number) => {
        const { train, test } = await openImageFolder(folder, { share: 0.2, seed });
        assertEquals([train.count, test.count, Array.from(test.labels).join()], [12, 3, "0,0,1"]);
        const seen: number[] = [];
        for (const part of [test, train]) {
          for (let i = 0; i < part.count; i++) {
            const { data } = await part.image(i);
            seen.push(Math.round(255 * (data[0] + data[16])) + 100 * part.labels[i]);
          }
        }
        return seen;
      };
      const first = await files(0);
      assertEquals(new Set(first).size, 15, "nothing is in both parts");
      assertEquals(await files(0), first);
      assert((await files(1)).slice(0, 3).join() !== first.slice(0, 3).join());
      await picture(join(folder, "c/only.png"), 4, 4, [1, 1, 1]);
      await assertRejects(() => openImageFolder(folder), DataError, 'the class "c" has 1 picture');
    }),
);

denoTest(
  "loadCifarFolder() finds CIFAR-100 with its names, and says what it wants",
  () =>
    inFolder(async (folder) => {
      await assertRejects(() => loadCifarFolder(folder), DataError, "data_batch_1.bin");
      const bytes = new Uint8Array(2 * 3074);
      bytes.set([3, 77]);
      await Deno.writeFile(join(folder, "train.bin"), bytes);
      await Deno.writeFile(join(folder, "test.bin"), bytes.subarray(0, 3074));
      const names = Array.from({ length: 100 }, (_, i) => `class ${i}`);
      await Deno.writeTextFile(join(folder, "fine_label_names.txt"), names.join("\n") + "\n");
      const { train, test } = await loadCifarFolder(folder);
      assertEquals([train.count, test.count, [...train.labels], train.names?.[77]], [
        2,
        1,
        [77, 0],
        "class 77",
      ]);
      await Deno.writeFile(join(folder, "test.bin"), bytes.subarray(0, 3000));
      await assertRejects(
        () => loadCifarFolder(folder),
        DataError,
        "(test): file 1 has 3000 bytes",
      );
    }),
);
