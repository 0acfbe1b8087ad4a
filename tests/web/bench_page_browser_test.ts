/**
 * The live page that measures, in a real browser.
 * @module
 */
import type { Page } from "puppeteer-core";
import type { Row } from "../../bench/harness/row.ts";
import { ALL_WORKLOADS } from "../../bench/workloads/all.ts";
import { QUICK } from "../../web/live/bench/quick.ts";
import { serveSite } from "../../web/site/serve.ts";
import { assert, assertEquals, denoTest } from "../harness.ts";
import { siteForTests, text, withSite } from "./site_in_browser.ts";

/** Two that take no time: one has operations to count, the other bytes alone. */
const TINY = ["layer norm 1576x192", "matmul 197x192x768"];

const PROMISED = [
  "workload",
  "shape",
  "framework",
  "runtime",
  "adapter",
  "software",
  "clock",
  "repeats_per_sync",
  "median_ms",
  "p10_ms",
  "p90_ms",
  "gflops",
  "check",
  "date",
  "driver",
];

async function withPage(work: (page: Page) => Promise<void>): Promise<void> {
  await withSite(async (open) => {
    const page = await open("bench.html");
    await page.waitForSelector("html[data-ready]");
    await work(page);
  });
}

/** Chooses these workloads and no others. */
async function choose(page: Page, names: readonly string[]): Promise<void> {
  const places = ALL_WORKLOADS.flatMap(({ name, shape }, i) =>
    names.includes(`${name} ${shape}`) ? [String(i)] : []
  );
  assertEquals(places.length, names.length);
  await page.$eval("#none", (button) => (button as HTMLElement).click());
  for (const place of places) {
    await page.$eval(`#groups [value="${place}"]`, (box) => (box as HTMLElement).click());
  }
}

const state = (page: Page, name: string): Promise<unknown> =>
  page.waitForSelector(`#progress[data-state="${name}"]`);

/** The file that the page offers. */
async function download(page: Page): Promise<Row[]> {
  const json = await page.$eval("#json", async (link) => {
    return await (await fetch((link as HTMLAnchorElement).href)).text();
  });
  return JSON.parse(json);
}

denoTest(
  "bench page: what is chosen is measured and right; table, plots and file show it",
  async () => {
    await withPage(async (page) => {
      assert(
        (await text(page, "#count")).startsWith(`${QUICK.size} of ${ALL_WORKLOADS.length}`),
        await text(page, "#count"),
      );
      await choose(page, TINY);
      await page.click("#start");
      await state(page, "finished");
      assertEquals(
        await text(page, "#progress"),
        "Finished, every check passed: 2 of 2 workloads measured.",
      );

      const rows = await download(page);
      for (const row of rows) {
        const { wait_share, ...others } = row;
        assertEquals(Object.keys(others), PROMISED);
        assertEquals(wait_share !== undefined, row.clock === "wall" && row.framework !== "adapter");
      }
      assertEquals(
        rows.map(({ workload, shape, clock }) => `${workload} ${shape}, ${clock}`).slice(2),
        TINY.flatMap((name) => [`${name}, wall`, `${name}, gpu`]),
      );
      assertEquals(rows.slice(0, 2).map(({ workload }) => workload), ["roofline", "roofline"]);
      for (const { runtime, adapter, software, check, median_ms, p10_ms, p90_ms } of rows) {
        assert(/^\S*Chrom.* \d+\./.test(runtime), runtime);
        assert(software && /swiftshader/.test(adapter), adapter);
        assert(check.ok && p10_ms! <= median_ms! && median_ms! <= p90_ms!, "in order");
      }
      for (const { check, median_ms } of rows.slice(2)) {
        assert(median_ms! > 0 && check.max_abs! < 1e-3, "measured and compared");
      }
      const product = rows.find(({ workload, clock }) =>
        workload === "matmul" && clock === "wall"
      )!;
      const flops = 2 * 197 * 192 * 768;
      assert(Math.abs(product.gflops! / (flops / product.median_ms! / 1e6) - 1) < 1e-9, "the rate");

      // A line for each row, and what the figures belong to beside them.
      const cells = await page.$$eval(
        "#rows tr",
        (all) =>
          all.map((line) => [...line.children].map((cell) => (cell as HTMLElement).innerText)),
      );
      assertEquals(cells.map((line) => line.at(-1)!.slice(0, 2)), ["ok", "ok", "ok", "ok"]);
      assertEquals(cells.map((line) => line.at(-8)), ["wall", "GPU", "wall", "GPU"]);
      assert(cells.every((line) => /^[\d.]+%$/.test(line.at(-2)!)), "shares of the roof");
      const setting = await text(page, "#setting");
      assert(/swiftshader.*a software adapter/.test(setting), setting);
      assert(setting.includes(product.runtime) && /GFLOP\/s/.test(setting), setting);
      assertEquals(await page.$$eval("#bars rect", (bars) => bars.length), 4);
      assertEquals(await page.$$eval("#roof .point", (points) => points.length), 1);
      assert(/task bench --peers --chrome/.test(await text(page, ".command")), "the peers");
      // On a phone nothing is wider than the screen but what scrolls by itself.
      await page.setViewport({ width: 390, height: 800 });
      assertEquals(await page.evaluate(() => document.documentElement.scrollWidth), 390);
    });
  },
);

denoTest("bench page: keys choose, start and stop; a stopped run keeps its rows", async () => {
  await withPage(async (page) => {
    const focused = () => page.evaluate(() => document.activeElement!.id);
    await page.focus("#effort");
    await page.keyboard.press("Tab");
    assertEquals(await focused(), "start");
    await page.keyboard.press("Tab"); // what sleeps is passed over
    await page.keyboard.press("Enter");
    assert(await page.$eval("#choose", (found) => (found as HTMLDetailsElement).open), "opened");
    for (let i = 0; i < 3; i++) await page.keyboard.press("Tab");
    assertEquals(await focused(), "none");
    await page.keyboard.press("Space");
    assert(/^0 of/.test(await text(page, "#count")), await text(page, "#count"));
    await page.focus("#start");
    await page.keyboard.press("Enter");
    await page.waitForSelector("#failed:not([hidden])");
    assert(/Choose a workload/.test(await text(page, "#failed")), "the complaint");

    // A box of a group is all of it, and says so when it is only some.
    await page.focus("fieldset:nth-of-type(2) [data-group]");
    await page.keyboard.press("Space");
    assert(/^4 of/.test(await text(page, "#count")), await text(page, "#count"));
    await page.keyboard.press("Tab");
    await page.keyboard.press("Space");
    assert(/^3 of/.test(await text(page, "#count")), await text(page, "#count"));
    const group = await page.$eval("fieldset:nth-of-type(2) [data-group]", (found) => {
      const { checked, indeterminate } = found as HTMLInputElement;
      return { checked, indeterminate };
    });
    assertEquals(group, { checked: false, indeterminate: true });

    await page.focus("#start");
    await page.keyboard.press("Enter");
    await state(page, "measuring");
    assertEquals(await focused(), "stop");
    await page.waitForSelector("#rows tr");
    await page.keyboard.press("Enter");
    await state(page, "stopped");
    assertEquals(await focused(), "start");
    const lines = () => page.$$eval("#rows tr", (all) => all.length);
    const before = await lines();
    assert(/^Stopped: 1 of 3/.test(await text(page, "#progress")), await text(page, "#progress"));
    assertEquals((await download(page)).length, 2 + before);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    assertEquals([await lines(), page.workers().length], [before, 0]);
  });
});

denoTest(
  "bench page: without WebGPU it says what is missing, and what there would be",
  async () => {
    await withSite(async (_open, browser) => {
      const page = await browser.newPage();
      await page.evaluateOnNewDocument(() =>
        Object.defineProperty(Navigator.prototype, "gpu", { value: undefined })
      );
      const server = serveSite(await siteForTests(), 0);
      try {
        await page.goto(`${server.origin}/bench.html`);
        await page.waitForSelector("#missing:not([hidden])");
        assert(/Nothing can be measured.*WebGPU/s.test(await text(page, "#missing")), "the reason");
        assertEquals(await page.$eval("#start", (b) => (b as HTMLButtonElement).disabled), true);
        assertEquals(
          await page.$$eval("#groups input[value]", (all) => all.length),
          ALL_WORKLOADS.length,
        );
      } finally {
        await server.close();
      }
    });
  },
);
