import { assert, assertEquals, assertRejects, denoTest } from "../harness.ts";
import { isIdxFolder, loadIdxFile, loadIdxFolder, loadIdxPart } from "../../data/files.ts";
import {
  FASHION_MNIST_NAMES,
  findFashionMnist,
  findMnist,
  loadFashionMnist,
  loadMnist,
} from "../../data/datasets.ts";
import { classCounts, fingerprint } from "../../data/image_set.ts";
import { DataError } from "../../engine/errors.ts";
import { gzip, idxFile } from "./support.ts";

/** Runs a test in a folder with four small IDX files: three training and two test images of 2 x 2. */
function folderTest(name: string, fn: (folder: string) => Promise<void>): void {
  denoTest(name, async () => {
    const folder = await Deno.makeTempDir({ prefix: "wgrad_data_" });
    const write = (file: string, bytes: Uint8Array) => Deno.writeFile(`${folder}/${file}`, bytes);
    try {
      await write("train-images-idx3-ubyte", idxFile([3, 2, 2], new Array(12).fill(1)));
      await write("train-labels-idx1-ubyte.gz", await gzip(idxFile([3], [0, 1, 2])));
      await write("t10k-images.idx3-ubyte", idxFile([2, 2, 2], new Array(8).fill(2)));
      await write("t10k-labels-idx1-ubyte", idxFile([2], [0, 1]));
      await fn(folder);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

denoTest("loadMnist() finds the digits among the packages", async () => {
  const { train, test } = await loadMnist();
  assertEquals([train.count, test.count, train.height, train.width, train.classes], [
    60_000,
    10_000,
    28,
    28,
    10,
  ]);
  // The published numbers of each digit.
  assertEquals(classCounts(train), [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
  assertEquals(classCounts(test), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
  assertEquals([...train.labels.subarray(0, 8)], [5, 0, 4, 1, 9, 2, 1, 3]);
  assertEquals(fingerprint(train), "60000x28x28x1-973a0734e64a34d1");
});

denoTest("loadFashionMnist() reads Debian's package, or says which to install", async () => {
  let folder: string;
  try {
    folder = await findFashionMnist();
  } catch (error) {
    // Only pre-training needs it, so set-up does not install it for the tests: the message is what counts then.
    assert(
      error instanceof DataError && error.message.includes("apt-get install dataset-fashion-mnist"),
    );
    assert(error.message.includes("--data DIR"));
    return;
  }
  const { train, test } = await loadFashionMnist(folder);
  assertEquals([train.count, test.count, train.classes], [60_000, 10_000, 10]);
  assertEquals(new Set(classCounts(train)), new Set([6000]));
  assertEquals(train.names, FASHION_MNIST_NAMES);
});

denoTest("findMnist() and findFashionMnist() say what a user's folder lacks", async () => {
  const folder = await Deno.makeTempDir();
  try {
    for (const find of [findMnist, findFashionMnist]) {
      await assertRejects(
        () => find(folder),
        DataError,
        `${folder}: want a folder with train-images`,
      );
      await assertRejects(
        () => find(`${folder}/none`),
        DataError,
        "want a folder with train-images",
      );
    }
  } finally {
    await Deno.remove(folder);
  }
});

folderTest("loadIdxFolder() takes files packed or not, under either name", async (folder) => {
  assert(await isIdxFolder(folder));
  assertEquals(await findMnist(folder), folder);
  const { train, test } = await loadIdxFolder(folder);
  assertEquals([train.count, train.classes, test.count, test.classes], [3, 3, 2, 3]);
  assertEquals((await loadIdxPart(folder, "test", { classes: 10 })).classes, 10);
});

folderTest(
  "loadIdxFolder() names the file that is missing, damaged or does not fit",
  async (folder) => {
    const labels = `${folder}/t10k-labels-idx1-ubyte`;
    const images = `${folder}/t10k-images.idx3-ubyte`;
    const cases: [string, Uint8Array, string][] = [
      [labels, idxFile([3], [0, 1, 2]), `${folder} (test): 2 images, but 3 labels`],
      [labels, idxFile([2], [0, 3]), "label 3 of image 1 is not one of the 3 classes"],
      [labels, idxFile([2], [0]), `${labels}: has 9 bytes, needs 10; it is truncated`],
      [labels, await gzip(idxFile([2], [0])), `${labels}: has 9 bytes, needs 10`],
      [labels, new Uint8Array(0), `${labels}: has 0 bytes`],
    ];
    for (const [path, bytes, message] of cases) {
      await Deno.writeFile(path, bytes);
      await assertRejects(() => loadIdxFolder(folder), DataError, message);
    }
    await Deno.writeFile(labels, idxFile([2], [0, 1]));
    await Deno.writeFile(images, idxFile([2, 1, 2], [1, 2, 3, 4]));
    await assertRejects(
      () => loadIdxFolder(folder),
      DataError,
      "test images 1 x 2 x 1; they must be one size",
    );
    await Deno.remove(images);
    await assertRejects(
      () => loadIdxFolder(folder),
      DataError,
      "there is no t10k-images-idx3-ubyte or t10k-images",
    );
    assert(!await isIdxFolder(folder));
    await assertRejects(
      () => loadIdxFolder(`${folder}/x`),
      DataError,
      `${folder}/x: there is no such folder`,
    );
    await assertRejects(() => loadIdxFolder(labels), DataError, `cannot read ${labels}`);
    await assertRejects(
      () => loadIdxFile(`${folder}/x`),
      DataError,
      `cannot read ${folder}/x: there is no such file`,
    );
  },
);
