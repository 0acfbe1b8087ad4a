import { Buffer } from "node:buffer";
import sharp from "sharp";
import { assert, assertEquals, assertRejects, denoTest } from "../harness.ts";
import {
  fitImage,
  listImageFolder,
  listImages,
  loadImageFolder,
  readImage,
  type RgbImage,
  toFloatImage,
} from "../../data/image_folder.ts";
import { DataError, ShapeError } from "../../engine/errors.ts";

/** A picture whose pixel (x, y) is (x, y, 7). */
function gradient(width: number, height: number): RgbImage {
  const data = new Uint8Array(3 * width * height);
  for (let i = 0; i < width * height; i++) {
    data.set([i % width, Math.trunc(i / width), 7], 3 * i);
  }
  return { width, height, data };
}

const raw = ({ width, height, data }: RgbImage) =>
  sharp(data, { raw: { width, height, channels: 3 } });

/** Runs a test in an empty folder. */
function folderTest(name: string, fn: (folder: string) => Promise<void>): void {
  denoTest(name, async () => {
    const folder = await Deno.makeTempDir({ prefix: "wgrad_pictures_" });
    try {
      await fn(folder);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }, { allowLeaks: true }); // libvips ends its threads by itself, later
}

async function put(path: string, bytes: Uint8Array | Buffer): Promise<void> {
  await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
  await Deno.writeFile(path, bytes);
}

folderTest("readImage() gives the pixels of PNG, WebP and JPEG files", async (folder) => {
  const picture = gradient(5, 4);
  await put(`${folder}/a.png`, await raw(picture).png().toBuffer());
  await put(`${folder}/b.webp`, await raw(picture).webp({ lossless: true }).toBuffer());
  await put(
    `${folder}/c.jpg`,
    await raw(picture).jpeg({ quality: 100, chromaSubsampling: "4:4:4" }).toBuffer(),
  );
  for (const name of ["a.png", "b.webp"]) {
    const { width, height, data } = await readImage(`${folder}/${name}`);
    assertEquals([width, height, [...data]], [5, 4, [...picture.data]]);
  }
  const { data } = await readImage(`${folder}/c.jpg`);
  const worst = Math.max(...data.map((value, i) => Math.abs(value - picture.data[i])));
  assert(worst <= 3, `JPEG of quality 100 differs by ${worst} of 255`);
});

folderTest("readImage() repeats grey, drops transparency, narrows 16 bits", async (folder) => {
  const grey = Buffer.from([0, 100, 200, 255]);
  const size = { width: 2, height: 2 };
  const asGrey = sharp(grey, { raw: { ...size, channels: 1 } });
  await put(`${folder}/grey.png`, await asGrey.toColourspace("b-w").png().toBuffer());
  const deep = await asGrey.toColourspace("grey16").png().toBuffer();
  await put(`${folder}/deep.png`, deep);
  const clear = Buffer.from([10, 20, 30, 0, 40, 50, 60, 255, 70, 80, 90, 1, 5, 6, 7, 128]);
  const asRgba = sharp(clear, { raw: { ...size, channels: 4 } });
  await put(`${folder}/clear.png`, await asRgba.png().toBuffer());
  const repeated = [0, 0, 0, 100, 100, 100, 200, 200, 200, 255, 255, 255];
  assertEquals([...(await readImage(`${folder}/grey.png`)).data], repeated);
  assertEquals([...(await readImage(`${folder}/deep.png`)).data], repeated);
  assertEquals([...(await readImage(`${folder}/clear.png`)).data], [
    ...[10, 20, 30, 40, 50, 60],
    ...[70, 80, 90, 5, 6, 7],
  ]);
});

denoTest("fitImage() cuts out the middle where nothing is resized", async () => {
  // 9 columns, 4 kept: (9 - 4) / 2 = 2.5 rounds to 2, and 7 rows: 1.5 rounds to 2, as in Python.
  const image = { ...gradient(9, 4) };
  const { data } = await fitImage(image, { size: 4, cropPct: 1 });
  assertEquals([...data.subarray(0, 3)], [2, 0, 7]);
  const tall = await fitImage(gradient(4, 7), { size: 4, cropPct: 1 });
  assertEquals([...tall.data.subarray(0, 3)], [0, 2, 7]);
}, { allowLeaks: true });

denoTest("fitImage() resizes the shorter side to floor(size / cropPct)", async () => {
  // 40 x 20 -> 20 x 10 (size 9, 0.9) -> 9 x 9 from column 6 ((20 - 9) / 2 = 5.5 to even), row 0 ((10 - 9) / 2 = 0.5).
  const { width, height, data } = await fitImage(gradient(40, 20), { size: 9 });
  assertEquals([width, height], [9, 9]);
  // A ramp stays a ramp: column i of the small picture stands at 2 (i + 6) + 1/2 of the large one.
  for (let y = 1; y < 8; y++) {
    for (let x = 0; x < 9; x++) {
      const [red, green, blue] = data.subarray(3 * (9 * y + x));
      assert(Math.abs(red - (2 * (x + 6) + 0.5)) <= 1, `pixel ${x}, ${y}: red ${red}`);
      assert(Math.abs(green - (2 * y + 0.5)) <= 1, `pixel ${x}, ${y}: green ${green}`);
      assertEquals(blue, 7);
    }
  }
}, { allowLeaks: true });

denoTest("fitImage() refuses sizes that are none", async () => {
  for (const options of [{ size: 0 }, { size: 2.5 }, { size: 4, cropPct: 0 }]) {
    await assertRejects(() => fitImage(gradient(4, 4), options), ShapeError, "fitImage");
  }
});

denoTest("toFloatImage() gives channels first, in [0, 1]", () => {
  const { channels, height, width, data } = toFloatImage(gradient(3, 2));
  assertEquals([channels, height, width], [3, 2, 3]);
  assertEquals([...data.subarray(6, 12)], [0, 0, 0, 1, 1, 1].map((v) => Math.fround(v / 255)));
});

folderTest("loadImageFolder() labels pictures by the folder of the first level", async (folder) => {
  const bytes = await raw(gradient(4, 4)).png().toBuffer();
  for (const path of ["a/2.png", "a/deep/1.PNG", "a-b/3.png", "b/4.png", "b/note.txt"]) {
    await put(`${folder}/${path}`, bytes);
  }
  await Deno.mkdir(`${folder}/empty`);
  await Deno.symlink(folder, `${folder}/b/circle`);
  const { files, labels, names } = await listImageFolder(folder);
  assertEquals(files.map((file) => file.slice(folder.length + 1)), [
    "a/2.png",
    "a/deep/1.PNG",
    "a-b/3.png",
    "b/4.png",
  ]);
  assertEquals([...labels], [0, 0, 1, 2]);
  assertEquals(names, ["a", "a-b", "b"]);
  const set = await loadImageFolder(folder, { size: 3, cropPct: 0.75 });
  assertEquals([set.count, set.height, set.channels, set.classes], [4, 3, 3, 3]);
  assertEquals([...set.images.subarray(0, 6)], [0, 0, 7, 1, 0, 7]);
});

folderTest("image folders name what is wrong", async (folder) => {
  await assertRejects(() => listImages(`${folder}/none`), DataError, "none: there is no such");
  await assertRejects(() => listImages(folder), DataError, "there are no pictures in it");
  const bytes = await raw(gradient(40, 40)).png().toBuffer();
  await put(`${folder}/loose.png`, bytes);
  await assertRejects(() => listImages(`${folder}/loose.png`), DataError, "it is a file");
  await assertRejects(() => listImageFolder(folder), DataError, "loose.png: it is in no class");
  await Deno.remove(`${folder}/loose.png`);
  await put(`${folder}/a/cut.png`, bytes.subarray(0, bytes.length / 2));
  await assertRejects(() => loadImageFolder(folder, { size: 4 }), DataError, "a/cut.png");
  await put(`${folder}/a/cut.png`, new TextEncoder().encode("not a picture"));
  await assertRejects(() => readImage(`${folder}/a/cut.png`), DataError, "a/cut.png");
});
