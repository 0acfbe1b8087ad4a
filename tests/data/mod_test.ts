import { assertEquals, test } from "../harness.ts";
import {
  balancedSample,
  BatchLoader,
  imageSetFromIdx,
  readIdx,
  Rng,
  subset,
} from "../../data/mod.ts";
import { gzip, idxFile } from "./support.ts";

// That this file can be bundled for a page is half of the test: nothing behind data/mod.ts may import `node:`.
test("data/mod.ts goes from packed files to batches where there is no file system", async () => {
  const images = await readIdx(await gzip(idxFile([4, 1, 1], [0, 255, 0, 255])));
  const labels = await readIdx(idxFile([4], [0, 1, 0, 1]));
  const set = imageSetFromIdx(images, labels);
  const sample = subset(set, balancedSample(set, 2, new Rng(1)));
  for await (const batch of new BatchLoader(sample, { batchSize: 2 }).epoch()) {
    assertEquals([...batch.images], [...batch.labels]);
  }
});
