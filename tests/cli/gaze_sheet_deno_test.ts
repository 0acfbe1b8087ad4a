/** Pictures of gaze: drawing, PNG files, and the contact sheet of synthetic clips. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { blankPicture, box, gazeArrow, paste } from "../../cli/gaze/drawing.ts";
import { encodePng } from "../../cli/png.ts";
import { PROJECT_ROOT, run } from "../../cli/system.ts";
import { assert, assertEquals, denoTest } from "../harness.ts";

/** Rows of the red channel, "#" where it is above 0. */
function rows({ height, width, data }: ReturnType<typeof blankPicture>): string[] {
  return Array.from({ length: height }, (_, y) => (
    Array.from({ length: width }, (_, x) => data[3 * (y * width + x)] > 0 ? "#" : ".").join("")
  ));
}

denoTest("box() and paste() draw within the picture, and cut off what is outside", () => {
  const picture = blankPicture(4, 6);
  box(picture, [1, 1, 4, 9], [255, 0, 0]);
  assertEquals(rows(picture), ["......", ".####.", ".#..#.", ".#..#."]);
  const onto = blankPicture(4, 4), from = blankPicture(1, 2);
  from.data[3] = 7;
  paste(onto, from, 1, -1, 2);
  assertEquals(rows(onto), ["...#", "....", "....", "...."]);
});

denoTest(
  "gazeArrow() points to the left for positive x, up for positive y, and is a dot into the camera",
  () => {
    const drawn = (gaze: number[]): string[] => {
      const picture = blankPicture(5, 5);
      gazeArrow(picture, [2, 2], gaze, 2, [255, 0, 0]);
      return rows(picture);
    };
    assertEquals(drawn([1, 0, 0])[2], "###..");
    assertEquals(drawn([0, 1, 0]).map((row) => row[2]).join(""), "###..");
    assertEquals(drawn([0, 0, -1]), [".....", ".....", "..#..", ".....", "....."]);
  },
);

denoTest("encodePng() writes a PNG file of the picture's size", async () => {
  const file = await encodePng(blankPicture(3, 5));
  assertEquals([...file.subarray(1, 4)], [..."PNG"].map((letter) => letter.charCodeAt(0)));
  const bitmap = await createImageBitmap(new Blob([file as Uint8Array<ArrayBuffer>]));
  assertEquals([bitmap.height, bitmap.width], [3, 5]);
  bitmap.close();
});

denoTest(
  "the contact sheet of synthetic clips is a PNG; a wrong option says which are right",
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "wgrad-sheet-"));
    try {
      const out = join(folder, "sheet.png");
      const sheet = async (...args: string[]): Promise<{ code: number; text: string }> => {
        const command = [Deno.execPath(), "run", "-A", "cli/gaze/sheet.ts", "--out", out, ...args];
        const { code, stdout, stderr } = await run(command, { cwd: PROJECT_ROOT });
        return { code, text: stdout + stderr };
      };
      const good = await sheet("--clips", "2", "--size", "12", "--zoom", "1");
      assertEquals(good.code, 0, good.text);
      const bitmap = await createImageBitmap(
        new Blob([await readFile(out) as Uint8Array<ArrayBuffer>]),
      );
      assertEquals([bitmap.height, bitmap.width], [24, 84]);
      bitmap.close();
      const wrong = await sheet("--split", "all");
      assertEquals(wrong.code, 2);
      assert(wrong.text.includes("--split is one of train, validation, test, not all"), wrong.text);
    } finally {
      await rm(folder, { recursive: true });
    }
  },
);
