/** The page on gaze in a real browser: the sample clip as Deno sees it, exports, a camera, refusals, no WebGPU. */
import type { Page } from "puppeteer-core";
import { gazePredictor } from "../../cli/gaze/predictor.ts";
import { Stages } from "../../cli/gaze/stages.ts";
import { PROJECT_ROOT } from "../../cli/system.ts";
import { GazeFollower, SyntheticClips } from "../../data/gaze/mod.ts";
import { bytesSource } from "../../io/mod.ts";
import { requestDevice } from "../../mod.ts";
import { GAZE_WEIGHTS } from "../../web/live/gaze/places.ts";
import { loadGaze } from "../../web/live/gaze/weights.ts";
import { assert, assertClose, assertEquals, denoTest } from "../harness.ts";
import { text, withSite } from "./site_in_browser.ts";

/** The sample clip's gaze as Deno computes it, [7, 3]. */
async function gazeInDeno(): Promise<number[]> {
  using device = await requestDevice();
  const bytes = await Deno.readFile(`${PROJECT_ROOT}${GAZE_WEIGHTS}`);
  const { model } = await loadGaze(device, bytesSource(bytes, GAZE_WEIGHTS), GAZE_WEIGHTS);
  const size = model.config.imageSize;
  const { length, height, width, frames } = new SyntheticClips({ split: "test", count: 1, size })
    .clip(0);
  let frame = 0;
  const follower = new GazeFollower(gazePredictor({
    model,
    size,
    headShare: 1,
    stages: new Stages(),
    frame: () => frame,
    finished: () => false,
  }));
  const known = [];
  for (; frame < length; frame++) {
    const bytes = 3 * height * width;
    const data = frames.slice(frame * bytes, (frame + 1) * bytes);
    known.push(...await follower.add(frame, { height, width, data }, [{ box: null }]));
  }
  known.push(...await follower.cut());
  model.dispose();
  return known.toSorted((a, b) => a.frame - b.frame).flatMap(({ gaze }) => [...gaze]);
}

const idle = (page: Page) =>
  page.waitForFunction(() => document.documentElement.dataset.gaze === "idle");

/** What a click on one of the two buttons gives the person. */
function saved(page: Page, id: "json" | "csv"): Promise<string> {
  return page.evaluate(async (id) => {
    const make = URL.createObjectURL, urls: string[] = [];
    URL.createObjectURL = (blob) => {
      urls.push(make(blob));
      return urls[0];
    };
    const click = HTMLAnchorElement.prototype.click;
    HTMLAnchorElement.prototype.click = () => {};
    document.getElementById(id)!.click();
    HTMLAnchorElement.prototype.click = click;
    URL.createObjectURL = make;
    return await (await fetch(urls[0])).text();
  }, id);
}

denoTest("gaze page: the sample clip is answered as in Deno, and saved", async () => {
  const want = await gazeInDeno();
  await withSite(async (open) => {
    const page = await open("gaze.html");
    await page.waitForSelector("html[data-ready]");
    assertEquals(await text(page, "#refused"), "");
    await page.focus("#sample");
    await page.keyboard.press("Enter");
    await page.waitForSelector("#stop:not([disabled])");
    await idle(page);
    const status = await text(page, "#status");
    assert(/^Done: 7 frames, 7 heads, \d+\.\d° off the true gaze/.test(status), status);
    const { heads, note, coordinates, detector, complete } = JSON.parse(await saved(page, "json"));
    assert(/not validated/.test(note) && /unit vector/.test(coordinates), note);
    assertEquals([detector, complete, heads.length], ["none", true, 7]);
    const got = heads.flatMap(({ gaze }: { gaze: number[] }) => gaze);
    assertClose(got, want, { atol: 1e-3, rtol: 1e-3, name: "gaze" });
    const [columns, ...lines] = (await saved(page, "csv")).trim().split("\n");
    const at = columns.split(",").indexOf("gaze_x");
    assertEquals(
      lines.flatMap((line) => line.split(",").slice(at, at + 3).map(Number)),
      got,
    );
    const stages = await page.$$eval("#stages th", (all) => all.map((cell) => cell.textContent));
    for (const stage of ["decode", "features", "heads", "draw"]) {
      assert(stages.includes(stage), `${stages} lack ${stage}`);
    }
    assert(await page.$("#overlay svg path") !== null, "an arrow");
    assert(/person 0 looks \d+°/.test(await text(page, "#said")), await text(page, "#said"));
  });
}, { timeout: 200 });

denoTest(
  "gaze page: a camera that is refused leaves the sample clip; bad weights are named",
  async () => {
    await withSite(async (open) => {
      const page = await open("gaze.html");
      await page.waitForSelector("html[data-ready]");
      await page.evaluate(() => {
        const refuse = () => Promise.reject(new DOMException("no", "NotAllowedError"));
        Object.defineProperty(navigator, "mediaDevices", { value: { getUserMedia: refuse } });
      });
      await page.click("#whole"); // needs no detector
      await page.click("#camera");
      await page.waitForSelector("#latest tr");
      await idle(page);
      assert(/camera was refused/.test(await text(page, "#refused")), await text(page, "#refused"));
      assert(/^Done: 7 frames/.test(await text(page, "#status")), await text(page, "#status"));
      const before = await text(page, "#model");
      const bad = await Deno.makeTempFile({ suffix: ".safetensors" });
      try {
        await Deno.writeTextFile(bad, "no weights at all");
        const input = await page.$("input#weights");
        await input!.uploadFile(bad);
        await page.waitForFunction(() =>
          /safetensors/.test(document.getElementById("refused")!.textContent ?? "")
        );
      } finally {
        await Deno.remove(bad);
      }
      assertEquals(await text(page, "#model"), before);
    });
  },
  { timeout: 200 },
);

denoTest("gaze page: a camera is looked at until somebody stops it", async () => {
  await withSite(async (open) => {
    const page = await open("gaze.html");
    await page.waitForSelector("html[data-ready]");
    await page.evaluate(() => {
      const canvas = document.createElement("canvas"), context = canvas.getContext("2d")!;
      setInterval(() => {
        context.fillStyle = `hsl(${performance.now() / 20} 50% 50%)`;
        context.fillRect(0, 0, canvas.width, canvas.height);
      }, 30);
      const give = () => Promise.resolve(canvas.captureStream(20));
      Object.defineProperty(navigator, "mediaDevices", { value: { getUserMedia: give } });
    });
    await page.click("#whole");
    await page.click("#camera");
    await page.waitForSelector("#latest tr:nth-child(3)");
    await page.click("#stop");
    await idle(page);
    const status = await text(page, "#status");
    assert(/^Stopped: \d+ frames, \d+ heads\.$/.test(status), status);
    assertEquals(JSON.parse(await saved(page, "json")).input, "camera");
  });
}, { timeout: 200 });

denoTest("gaze page: without WebGPU it says what is missing", async () => {
  await withSite(async (open, browser) => {
    const first = await open("gaze.html"), page = await browser.newPage();
    await page.evaluateOnNewDocument(() =>
      Object.defineProperty(Navigator.prototype, "gpu", { value: undefined })
    );
    await page.goto(first.url());
    await page.waitForSelector("html[data-ready]");
    assert(/WebGPU/.test(await text(page, "#missing")), await text(page, "#missing"));
    assert(await page.$eval("#sample", (button) => (button as HTMLButtonElement).disabled));
  });
});
