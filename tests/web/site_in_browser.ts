/**
 * The site in a real browser, for tests.
 * @module
 */
import puppeteer, { type Browser, type Page } from "puppeteer-core";
import { findChrome } from "../../cli/chrome.ts";
import { buildSite, type Site } from "../../web/site/build.ts";
import { serveSite } from "../../web/site/serve.ts";
import { assert, assertEquals } from "../harness.ts";
import { CHROME_FLAGS } from "../runner/chrome.ts";

let built: Promise<Site> | undefined;

/** The site, built once for all tests of a file. */
export function siteForTests(): Promise<Site> {
  return built ??= buildSite();
}

/** Opens the site in a browser; what a page complains of in its console fails the test. */
export async function withSite(
  work: (open: (path: string) => Promise<Page>, browser: Browser) => Promise<void>,
): Promise<void> {
  const { chrome } = await findChrome();
  assert(chrome !== null, "deno task setup --tests brings Chrome");
  const server = serveSite(await siteForTests(), 0);
  const browser = await puppeteer.launch({
    executablePath: chrome.path,
    args: [...CHROME_FLAGS],
    protocolTimeout: 0,
  });
  const complaints: string[] = [];
  try {
    await work(async (path) => {
      const page = await browser.newPage();
      page.setDefaultTimeout(100_000);
      page.on("console", (entry) => {
        if (/error|warn/.test(entry.type())) complaints.push(`${path}: ${entry.text()}`);
      });
      page.on("pageerror", (error) => complaints.push(`${path}: ${error}`));
      page.on("requestfailed", (request) => complaints.push(`${path}: no ${request.url()}`));
      page.on("response", (response) => {
        if (response.status() >= 400) {
          complaints.push(`${path}: ${response.status()} ${response.url()}`);
        }
      });
      await page.goto(`${server.origin}/${path}`);
      return page;
    }, browser);
  } finally {
    await browser.close();
    await server.close();
  }
  assertEquals(complaints, []);
}

/** What a person reads in an element. */
export const text = (page: Page, selector: string): Promise<string> =>
  page.$eval(selector, (found) => (found as HTMLElement).innerText);
