/**
 * The live page on mixtures of experts in a real browser: answers, maps, keys, files, training, and no WebGPU.
 * @module
 */
import type { ElementHandle, Page } from "puppeteer-core";
import { EVALUATION } from "../../cli/demo/recipe.ts";
import { answerOf } from "../../cli/routing/routing.ts";
import type { AccuracyAt, RunHistory } from "../../cli/run_state.ts";
import { loadModel, readCard } from "../../cli/training/model_file.ts";
import { imageAt, imageSetFromIdx, readIdx, Rng } from "../../data/mod.ts";
import { requestDevice } from "../../engine/mod.ts";
import { decodeCheckpoint, readSafetensors } from "../../io/mod.ts";
import { DENSE_WEIGHTS, DIGITS, MOE_WEIGHTS } from "../../web/live/moe/places.ts";
import { serveSite } from "../../web/site/serve.ts";
import { assert, assertClose, assertEquals, denoTest } from "../harness.ts";
import { siteForTests, text, withSite } from "./site_in_browser.ts";

const PATCHES = 49, EXPERTS = 24;
const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const answers = (page: Page): Promise<number> =>
  page.$eval("#layers", (place) => Number((place as HTMLElement).dataset.answers ?? 0));

/** Does something and waits for the model's next answer. */
async function answered(page: Page, work: () => Promise<unknown>): Promise<void> {
  const before = await answers(page);
  await work();
  await page.waitForFunction(
    (count) => Number(document.getElementById("layers")!.dataset.answers ?? 0) > count,
    {},
    before,
  );
}

const click = (page: Page, selector: string): Promise<void> =>
  page.$eval(selector, (found) => (found as HTMLElement).click());

/** A number that each element carries, in their order. */
const numbers = (page: Page, selector: string, name: string): Promise<number[]> =>
  page.$$eval(
    selector,
    (all, key) => all.map((found) => Number((found as HTMLElement | SVGElement).dataset[key])),
    name,
  );

/** Folders of chosen files, removed when their page is closed: it reads a file when it needs it. */
const folders: string[] = [];

/** Gives a file to a file input. */
async function choose(page: Page, input: string, name: string, bytes: Uint8Array): Promise<void> {
  const folder = await Deno.makeTempDir();
  folders.push(folder);
  await Deno.writeFile(`${folder}/${name}`, bytes);
  const element = await page.$(input) as ElementHandle<HTMLInputElement>;
  await element.uploadFile(`${folder}/${name}`);
}

/** Drops a file on the page. */
async function drop(page: Page, name: string, bytes: Uint8Array): Promise<void> {
  await page.evaluate(
    (name, values) => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([Uint8Array.from(values)], name));
      document.body.dispatchEvent(
        new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }),
      );
    },
    name,
    [...bytes],
  );
}

async function withPage(work: (page: Page) => Promise<void>): Promise<void> {
  try {
    await withSite(async (open) => {
      const page = await open("moe.html");
      await page.waitForSelector("html[data-ready]");
      await work(page);
    });
  } finally {
    for (const folder of folders.splice(0)) await Deno.remove(folder, { recursive: true });
  }
}

/** What the model does with the first held-out digit of a class, computed in Deno. */
async function expected(digit: number) {
  const site = await siteForTests(), { images, labels } = DIGITS.heldOut;
  const set = imageSetFromIdx(
    await readIdx(site.get(images)!),
    await readIdx(site.get(labels)!),
    { classes: 10 },
  );
  using device = await requestDevice();
  const { model } = await loadModel(MOE_WEIGHTS, (await readCard(MOE_WEIGHTS))!.model);
  await model.to(device);
  const image = EVALUATION(imageAt(set, set.labels.indexOf(digit)), new Rng(0, "test"));
  const answer = await answerOf(device, model.eval(), image.data);
  model.dispose();
  await device.sync();
  return answer;
}

denoTest("moe page: digits are recognised, and the maps are the routing weights", async () => {
  const { layers } = await expected(7);
  await withPage(async (page) => {
    for (const digit of [0, 7]) {
      await answered(page, () => click(page, `#samples [data-digit="${digit}"]`));
      assertEquals(await page.$eval("#says", (e) => (e as HTMLElement).dataset.class), `${digit}`);
      assertClose([sum(await numbers(page, "#bars li", "share"))], [1], { atol: 1e-4 });
    }
    assertEquals(await page.$$eval(".layer", (all) => all.length), layers.length);
    for (const [i, { layer, coreExperts, dispatch, combine }] of layers.entries()) {
      const section = `[data-layer="${layer}"]`;
      assertEquals(await page.$$eval(`${section} .expert`, (all) => all.length), EXPERTS);
      assertEquals(await page.$$eval(`${section} .core`, (all) => all.length), coreExperts);
      // An expert that is looked at colours the patches by what it reads of them.
      const expert = 5 * i + 2;
      await page.focus(`${section} .expert[data-expert="${expert}"]`);
      const weights = await numbers(page, `${section} [data-patch]`, "weight");
      assertEquals(weights.length, PATCHES);
      assertClose([sum(weights)], [1], { atol: 2e-3 }); // each has four digits
      assertClose(weights, dispatch[expert], { rtol: 1e-2, atol: 1e-4 }); // two adapters
      // Its own small map is as opaque as the weights are large.
      const opaque = await page.$eval(
        `${section} .expert[data-expert="${expert}"] .dispatch`,
        (found) => {
          const { width, height } = found as HTMLCanvasElement;
          const { data } = (found as HTMLCanvasElement).getContext("2d")!
            .getImageData(0, 0, width, height);
          return Array.from({ length: width * height }, (_, n) => data[4 * n + 3]);
        },
      );
      const top = Math.max(...weights);
      assertClose(opaque, weights.map((weight) => 255 * weight / top), { atol: 1 });
      // A patch that is looked at marks the experts by their share in its answer.
      const patch = 10 + 7 * i;
      await page.hover(`${section} [data-patch="${patch}"]`);
      const shares = await numbers(page, `${section} .expert`, "share");
      assertClose([sum(shares)], [1], { atol: 2e-3 });
      assertClose(shares, combine.map((row) => row[patch]), { rtol: 1e-2, atol: 1e-3 });
      const none = shares.filter((share) => share === 0).length;
      const told = await text(page, `${section} .told`);
      assert(told.includes(`${none} of ${EXPERTS} experts give exactly nothing`), told);
    }
  });
});

denoTest(
  "moe page: a 1 is drawn with keys, and keys move through experts and patches",
  async () => {
    await withPage(async (page) => {
      await page.focus("#pad");
      await page.keyboard.press("Space");
      for (let i = 0; i < 15; i++) await page.keyboard.press("ArrowDown");
      await answered(page, () => page.keyboard.press("ArrowDown"));
      await page.waitForFunction(() => document.getElementById("says")!.dataset.class === "1");
      assert(/down: it draws, in column 15 and row 25/.test(await text(page, "#pen")), "the pen");
      await page.keyboard.press("Space");
      await answered(page, () => page.keyboard.press("Backspace"));
      // A stroke with the mouse is another way to the same.
      const { x, y, width } = (await (await page.$("#pad"))!.boundingBox())!;
      await page.mouse.move(x + 0.5 * width, y + 0.2 * width);
      await page.mouse.down();
      await answered(page, () => page.mouse.move(x + 0.48 * width, y + 0.8 * width, { steps: 6 }));
      await page.mouse.up();
      await page.waitForFunction(() => document.getElementById("says")!.dataset.class === "1");

      await page.focus(".layer .expert");
      await page.keyboard.press("ArrowRight");
      assert(
        /^core expert 2 reads most from row/.test(await text(page, ".layer .told")),
        "the expert",
      );
      assertEquals(
        await page.$$eval(
          ".layer:first-child .expert[tabindex='0']",
          (all) => all.map((e) => (e as HTMLElement).dataset.expert),
        ),
        ["1"],
      );
      await page.$eval(".layer .patches", (grid) => (grid as SVGElement).focus());
      await page.keyboard.press("ArrowDown");
      await page.keyboard.press("ArrowRight");
      const told = await text(page, ".layer .told");
      assert(
        /^The patch in row 2, column 2 weighs most in what is read by .*expert/.test(told),
        told,
      );
    });
  },
);

denoTest("moe page: files: a bad one is refused, a dense one and a picture are taken", async () => {
  const dense = await Deno.readFile(DENSE_WEIGHTS), site = await siteForTests();
  await withPage(async (page) => {
    const before = await text(page, "#model");
    assert(before.includes("SpheroMoE ViT, 1,404,112 parameters"), before);
    const cut = site.get(MOE_WEIGHTS)!.slice(0, 5000);
    for (
      const [name, bytes, message] of [
        ["cut.safetensors", cut, /cut\.safetensors: /],
        ["notes.pth", new TextEncoder().encode("no weights at all"), /no safetensors file and no/],
      ] as const
    ) {
      if (name.endsWith(".pth")) await drop(page, name, bytes);
      else await choose(page, "#weights", name, bytes);
      await page.waitForFunction(
        (part) => document.getElementById("refused")!.textContent!.includes(part),
        {},
        name,
      );
      assert(message.test(await text(page, "#refused")), await text(page, "#refused"));
      assertEquals(await text(page, "#model"), before);
    }
    await answered(page, () => choose(page, "#weights", "dense.safetensors", dense));
    assertEquals(await text(page, "#refused"), "");
    assert(
      /dense\.safetensors: dense ViT.* 1 heads.*nothing of itself/.test(await text(page, "#model")),
      "dense",
    );
    assert(/no experts/.test(await text(page, "#layers")), "no maps");
    await answered(page, () =>
      page.$eval("#heads", (found) => {
        (found as HTMLInputElement).value = "4";
        found.dispatchEvent(new Event("change"));
      }));
    assert(/ 4 heads/.test(await text(page, "#model")), await text(page, "#model"));
    await answered(page, () => click(page, "#original"));
    assertEquals(await text(page, "#model"), before);
    // Ink on white paper, as a picture: a 1.
    const png = await page.evaluate(async () => {
      const canvas = new OffscreenCanvas(120, 90), to = canvas.getContext("2d")!;
      to.fillStyle = "#fff";
      to.fillRect(0, 0, 120, 90);
      to.fillStyle = "#222";
      to.fillRect(56, 15, 8, 60);
      return Array.from(new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer()));
    });
    await answered(page, () => choose(page, "#picture", "one.png", Uint8Array.from(png)));
    assert(/one\.png, grey and inverted/.test(await text(page, "#source")), "what was done to it");
    assertEquals(await page.$eval("#says", (e) => (e as HTMLElement).dataset.class), "1");
  });
});

/** Sets a short run up. */
async function plan(page: Page, steps: number): Promise<void> {
  const values = { steps, batch: 16, seed: 1 };
  for (const [id, value] of Object.entries(values)) {
    await page.$eval(`#${id}`, (found, v) => (found as HTMLInputElement).value = v, `${value}`);
  }
}

const state = (page: Page, name: string): Promise<unknown> =>
  page.waitForSelector(`#progress[data-state="${name}"]`);

/** Stops after a step from the given one on, and saves. */
async function stopped(page: Page, from: number) {
  await page.waitForFunction(
    (least) => {
      const { step, state } = document.getElementById("progress")!.dataset;
      return state === "training" && Number(step) >= least;
    },
    {},
    from,
  );
  await click(page, "#stop");
  await state(page, "stopped");
  return await saved(page);
}

/** Saves the run, and what the file holds. */
async function saved(page: Page) {
  await page.waitForSelector("#save-run:enabled");
  await click(page, "#save-run");
  await page.waitForSelector("#saved a");
  const base64 = await page.$eval("#saved a", async (link) => {
    const blob = await (await fetch((link as HTMLAnchorElement).href)).blob();
    return await new Promise<string>((resolve) => {
      const reader = new FileReader();
      reader.onload = () => resolve(String(reader.result).replace(/^[^,]*,/, ""));
      reader.readAsDataURL(blob);
    });
  });
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const { state } = decodeCheckpoint(await readSafetensors(bytes));
  const { history } = state.extra as unknown as { history: RunHistory<AccuracyAt> };
  return { bytes, step: state.step, history };
}

denoTest(
  "moe page: training lowers the loss; stopped, saved and loaded it goes on exactly",
  async () => {
    const steps = 12;
    await withPage(async (page) => {
      await plan(page, steps);
      await click(page, "#start");
      await state(page, "finished");
      const whole = await saved(page);
      assertEquals(whole.step, steps);
      const { losses, evaluations } = whole.history;
      assertEquals([losses.length, evaluations.map(({ step }) => step)], [steps, [0, steps]]);
      assert(sum(losses.slice(-3)) < sum(losses.slice(0, 3)) - 0.1, losses.join(" "));
      assertEquals(await page.$$eval("#charts svg", (all) => all.length), 2);
      assert(/swiftshader.*software/.test(await text(page, "#progress")), "the adapter");
      assert(/learns below/.test(await text(page, "#model")), "the maps follow it");

      // The same run again is stopped early, and goes on in a page that has never seen it.
      await click(page, "#start");
      const part = await stopped(page, 2);
      assert(part.step < steps, `stopped after ${part.step}`);
      assertEquals(part.history.losses, losses.slice(0, part.step));
      await page.reload();
      await page.waitForSelector("html[data-ready]");
      await choose(page, "#run", "run.safetensors", part.bytes);
      await state(page, "loaded");
      assert((await text(page, "#progress")).includes(`step ${part.step} of ${steps}`), "the step");
      await click(page, "#resume");
      const more = await stopped(page, part.step + 2);
      assert(more.step > part.step, `went on to ${more.step}`);
      assertEquals(more.history.losses, losses.slice(0, more.step));
      assertEquals(more.history.evaluations, evaluations.slice(0, 1));
    });
  },
  { timeout: 300 },
);

denoTest(
  "moe page: without WebGPU it says what is missing, explains, and one can draw",
  async () => {
    await withSite(async (_open, browser) => {
      const page = await browser.newPage();
      await page.evaluateOnNewDocument(() =>
        Object.defineProperty(Navigator.prototype, "gpu", { value: undefined })
      );
      const server = serveSite(await siteForTests(), 0);
      try {
        await page.goto(`${server.origin}/moe.html`);
        await page.waitForSelector("#missing:not([hidden])");
        assert(/No model can answer.*WebGPU/s.test(await text(page, "#missing")), "the reason");
        assert(/softmax over the patches/.test(await text(page, ".moe")), "the explanation");
        assertEquals(await page.$eval("#start", (b) => (b as HTMLButtonElement).disabled), true);
        await page.focus("#pad");
        for (const key of ["Space", "ArrowDown", "ArrowDown"] as const) {
          await page.keyboard.press(key);
        }
        assert(/your drawing/.test(await text(page, "#source")), await text(page, "#source"));
      } finally {
        await server.close();
      }
    });
  },
);
