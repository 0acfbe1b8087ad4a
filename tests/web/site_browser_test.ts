/**
 * The site in a real browser: every page, every picture, every button.
 * @module
 */
import { CHAPTERS } from "../../web/atlas/chapters.ts";
import { serveSite } from "../../web/site/serve.ts";
import { assert, assertEquals, denoTest } from "../harness.ts";
import { siteForTests, text, withSite } from "./site_in_browser.ts";

denoTest(
  "site: the first page leads to every chapter in order, and names the adapter",
  async () => {
    await withSite(async (open) => {
      const page = await open("");
      const links = await page.$$eval(
        ".chapters a",
        (all) => all.map((a) => a.getAttribute("href")),
      );
      assertEquals(
        links,
        CHAPTERS.map(({ slug }) => `${slug}.html`),
      );
      await page.waitForFunction(() => document.getElementById("adapter")!.textContent !== "");
      const adapter = await text(page, "#adapter");
      assert(/swiftshader/.test(adapter) && /software adapter/.test(adapter), adapter);
    });
  },
);

denoTest("site: every link and every anchor of every page leads somewhere", async () => {
  const site = await siteForTests(), decoder = new TextDecoder();
  for (const [path, bytes] of site) {
    if (!path.endsWith(".html")) continue;
    const page = decoder.decode(bytes);
    for (const [, target] of page.matchAll(/(?:href|src)="([^"]+)"/g)) {
      if (target.startsWith("data:")) continue;
      const { pathname, hash } = new URL(target, `http://site/${path}`);
      const found = site.get(pathname.slice(1));
      assert(found !== undefined, `${path}: ${target} is missing`);
      if (hash === "") continue;
      assert(decoder.decode(found).includes(`id="${hash.slice(1)}"`), `${path}: no ${hash}`);
    }
  }
});

for (const { slug, passes } of CHAPTERS) {
  denoTest(`site: ${slug} draws its pictures, and all of it runs here and is right`, async () => {
    await withSite(async (open) => {
      const page = await open(`${slug}.html`);
      await page.waitForSelector("html[data-ready]");
      await page.waitForSelector('.rung:not([hidden]) .picture[data-owners="known"]');
      for (const [i, { title, rungs }] of passes.entries()) {
        const section = `[data-pass="${i}"]`;
        await page.$eval(`${section} .run-all`, (button) => (button as HTMLElement).click());
        await page.waitForSelector(`${section}[data-measured]`);
        const results = await text(page, `${section} .results`);
        const outcome = await page.$eval(
          section,
          (found) => (found as HTMLElement).dataset.measured,
        );
        assertEquals(outcome, "right", `${slug}, ${title}: ${results}`);
        const rows = await page.$$eval(`${section} tbody tr`, (all) => all.length);
        assertEquals(rows, rungs.length, `${slug}, ${title}`);
      }
    });
  }, { timeout: 300 });
}

denoTest("site: keys move through tabs and pictures, and the page says what it shows", async () => {
  await withSite(async (open) => {
    const page = await open("matmul.html");
    await page.waitForSelector('.picture[data-owners="known"]');
    await page.focus("#pass-0-tab-0");
    await page.keyboard.press("ArrowRight");
    assertEquals(await page.evaluate(() => document.activeElement!.id), "pass-0-tab-1");
    const shown = '#pass-0-rung-1:not([hidden]) .picture[data-owners="known"]';
    await page.waitForSelector(shown);
    await page.$eval(`${shown} svg.written`, (drawing) => (drawing as SVGElement).focus());
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowRight");
    const told = await text(page, `${shown} .told`);
    assert(
      /^y\[1, 1\] depends on 8 of a, 8 of b\. Invocation 0 of \d+ in workgroup 0/.test(told),
      told,
    );
    // a tile of 4 x 4: its invocation writes 16 elements, whose inputs are 4 rows of either factor
    const marked = (name: string) => page.$$eval(`${shown} rect.${name}`, (all) => all.length);
    assertEquals(await marked("invocation"), 16);
    assertEquals(await marked("invocation-input"), 2 * 4 * 8);
    assertEquals(await marked("input"), 2 * 8);
  });
});

denoTest("site: without WebGPU a page says what is missing, and still explains", async () => {
  await withSite(async (_open, browser) => {
    const page = await browser.newPage();
    await page.evaluateOnNewDocument(() =>
      Object.defineProperty(Navigator.prototype, "gpu", { value: undefined })
    );
    const site = await siteForTests(), server = serveSite(site, 0);
    try {
      await page.goto(`${server.origin}/softmax.html`);
      await page.waitForSelector("#adapter.missing");
      assert(/WebGPU/.test(await text(page, "#adapter")), await text(page, "#adapter"));
      await page.waitForSelector(".picture svg.written");
      await page.click('[data-pass="0"] .run-all');
      await page.waitForSelector('[data-pass="0"][data-measured="failed"]');
      assert(/WebGPU/.test(await text(page, '[data-pass="0"] .results')), "the reason");
    } finally {
      await server.close();
    }
  });
});
