/** The page that runs the benchmark, in a real browser: a workload to its end, its JSON, stopping, keys, no WebGPU. */
import type { Page } from "puppeteer-core";
import { ALL_WORKLOADS } from "../../bench/workloads/all.ts";
import { assert, assertEquals, denoTest } from "../harness.ts";
import { text, withSite } from "./site_in_browser.ts";

const FIELDS = [
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
];

/** The page, with these workloads chosen and no other. */
async function opened(open: (path: string) => Promise<Page>, chosen: string[]): Promise<Page> {
  const page = await open("bench.html");
  await page.waitForSelector("html[data-ready]");
  const values = ALL_WORKLOADS.flatMap(({ name, shape }, i) =>
    chosen.includes(`${name} ${shape}`) ? [String(i)] : []
  );
  assertEquals(values.length, chosen.length);
  await page.$$eval("[name=workload]", (boxes, values) => {
    for (const box of boxes as HTMLInputElement[]) box.checked = values.includes(box.value);
  }, values);
  return page;
}

/** What a click on Save gives the person. */
async function saved(page: Page): Promise<Record<string, unknown>[]> {
  const json = await page.evaluate(async () => {
    const urls: string[] = [];
    const make = URL.createObjectURL;
    URL.createObjectURL = (blob) => {
      urls.push(make(blob));
      return urls[0];
    };
    HTMLAnchorElement.prototype.click = () => {};
    document.getElementById("save")!.click();
    return await (await fetch(urls[0])).text();
  });
  return JSON.parse(json);
}

denoTest("bench page: a workload runs to its end, is right, and is saved as JSON", async () => {
  await withSite(async (open) => {
    const page = await opened(open, ["layer norm 1576x192"]);
    await page.focus("#start");
    await page.keyboard.press("Enter");
    await page.waitForSelector('html[data-bench="idle"]');
    assertEquals(await text(page, "#status"), "Done: 1 workloads, every result right.");
    const cells = await page.$$eval(
      "#table tbody tr",
      (lines) => lines.map((line) => [...line.children].map((cell) => cell.textContent ?? "")),
    );
    assert(cells.length >= 1 && cells.every((line) => line.length === 10), JSON.stringify(cells));
    assertEquals(cells[0].slice(0, 2), ["layer norm 1576x192", "wall"]);
    assert(Number(cells[0][2]) > 0 && cells[0][9].startsWith("ok"), cells[0].join());
    assert(await page.$("#bars svg rect") !== null, "bars");
    assert(/GFLOP\/s .* GB\/s copied/.test(await text(page, "#setting")), "the roofline");
    assertEquals(await page.$eval("#progress", (bar) => (bar as HTMLProgressElement).value), 1);
    const rows = await saved(page);
    assertEquals(rows.map(({ workload }) => workload).slice(0, 3), [
      "roofline",
      "roofline",
      "layer norm",
    ]);
    for (const row of rows) {
      for (const field of FIELDS) assert(field in row, `${row.workload} lacks ${field}`);
      assert(/swiftshader/i.test(String(row.adapter)) && row.software === true, "the adapter");
    }
  });
}, { timeout: 200 });

denoTest("bench page: it can be stopped, and asks for a choice", async () => {
  await withSite(async (open) => {
    const page = await opened(open, ["matmul 2048x2048x2048"]);
    await page.click("#start");
    await page.waitForSelector("#stop:not([disabled])");
    await page.click("#stop");
    await page.waitForSelector('html[data-bench="idle"]');
    assertEquals(await text(page, "#status"), "Stopped: 0 of 1 workloads are measured.");
    await page.$$eval("[name=workload]", (boxes) => {
      for (const box of boxes as HTMLInputElement[]) box.checked = false;
    });
    await page.click("#start");
    assertEquals(await text(page, "#status"), "Choose a workload first.");
  });
}, { timeout: 200 });

denoTest("bench page: without WebGPU it says what is missing", async () => {
  await withSite(async (open, browser) => {
    const first = await open("bench.html"), page = await browser.newPage();
    await page.evaluateOnNewDocument(() =>
      Object.defineProperty(Navigator.prototype, "gpu", { value: undefined })
    );
    await page.goto(first.url());
    await page.waitForSelector("html[data-ready]");
    assert(/WebGPU/.test(await text(page, "#missing")), await text(page, "#missing"));
    assert(await page.$eval("#start", (button) => (button as HTMLButtonElement).disabled));
  });
});
