/**
 * The browser: on the machine's graphics card where it reaches one, else on the software adapter that it brings.
 * @module
 */
import puppeteer, { type Browser, type Page } from "puppeteer-core";
import type { Chrome } from "../../cli/chrome.ts";
import { CHROME_FLAGS } from "../../tests/runner/chrome.ts";
import type { BenchPage } from "./page.ts";

declare const benchPage: BenchPage;

/** Exact timestamps, by default a browser rounds them to 100 us; and the driver's name. */
const FOR_DEVELOPERS = [
  "--enable-webgpu-developer-features",
  "--enable-dawn-features=allow_unsafe_apis",
  "--disable-dawn-features=timestamp_quantization",
];
const HARDWARE = ["--enable-features=Vulkan", "--ignore-gpu-blocklist"];

/** Starts the browser. */
export async function startBrowser(chrome: Chrome, origin: string): Promise<Browser> {
  const software = [...CHROME_FLAGS, ...FOR_DEVELOPERS];
  const hardware = software.filter((flag) => !/swiftshader/.test(flag)).concat(HARDWARE);
  const browser = await launch(chrome, hardware);
  const page = await openPage(browser, origin);
  if (await page.evaluate(() => benchPage.hardware())) {
    await page.close();
    return browser;
  }
  await browser.close();
  return await launch(chrome, software);
}

function launch({ path }: Chrome, args: string[]): Promise<Browser> {
  // A workload may take many minutes, so the protocol must not lose patience.
  return puppeteer.launch({ executablePath: path, args, headless: true, protocolTimeout: 0 });
}

/** A fresh page with the benchmark loaded. */
export async function openPage(browser: Browser, origin: string): Promise<Page> {
  const page = await browser.newPage();
  page.setDefaultTimeout(120_000);
  await page.goto(`${origin}/`);
  await page.waitForFunction(() => "benchPage" in globalThis);
  return page;
}
