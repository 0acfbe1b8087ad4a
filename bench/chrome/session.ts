/**
 * The benchmark in headless Chrome. A page that is lost, or does not end, costs the rows of one workload; the next one has a
 * new page.
 * @module
 */
import type { Browser, Page } from "puppeteer-core";
import { bundle } from "../../cli/bundle.ts";
import type { Chrome } from "../../cli/chrome.ts";
import type { Row } from "../harness/row.ts";
import { bundleTensorFlow } from "../peers/install.ts";
import type { BenchOptions, RuntimeSession } from "../options.ts";
import type { ScaledSeries } from "../scaling/run.ts";
import { openPage, startBrowser } from "./browser.ts";
import type { BenchPage, PageSession } from "./page.ts";
import { type BenchServer, serveBench } from "./server.ts";

declare const benchPage: BenchPage;

/** Starts a session in Chrome. */
export async function startChrome(chrome: Chrome, options: BenchOptions): Promise<RuntimeSession> {
  const bundled = await bundle(["bench/chrome/page.ts"]);
  const tensorFlow = options.peers ? await bundleTensorFlow("browser") : null;
  const server = serveBench(bundled, tensorFlow);
  try {
    const browser = await startBrowser(chrome, server.origin);
    const session = new ChromeSession(chrome, options, server, browser);
    await session.open();
    return session;
  } catch (error) {
    await server.close();
    throw error;
  }
}

class ChromeSession implements RuntimeSession {
  #page: Page | undefined;
  #started: PageSession | undefined;

  constructor(
    readonly chrome: Chrome,
    readonly options: BenchOptions,
    readonly server: BenchServer,
    readonly browser: Browser,
  ) {}

  get started(): PageSession {
    return this.#started!;
  }

  /** A page with a started session in it. */
  async open(): Promise<void> {
    this.#page = await openPage(this.browser, this.server.origin);
    const { effort, peers } = this.options;
    const start = (runtime: string, effort: BenchOptions["effort"], peers: string) =>
      benchPage.start(runtime, effort, peers);
    const session = await this.#page.evaluate(start, this.chrome.version, effort, peers ?? "");
    this.#started ??= session;
  }

  run(name: string): Promise<readonly Row[]> {
    return this.#inPage((page) => page.evaluate((name) => benchPage.run(name), name));
  }

  scale(index: number): Promise<ScaledSeries> {
    return this.#inPage((page) => page.evaluate((index) => benchPage.scale(index), index));
  }

  async #inPage<T>(work: (page: Page) => Promise<T>): Promise<T> {
    try {
      if (this.#page === undefined) await this.open();
      const page = this.#page!;
      return await Promise.race([
        work(page),
        new Promise<never>((_, reject) => page.once("error", reject)),
      ]);
    } catch (error) {
      await this.#page?.close().catch(() => {});
      this.#page = undefined;
      throw error;
    }
  }

  async firstResult(label: string): Promise<number> {
    const page = await openPage(this.browser, this.server.origin);
    try {
      return await page.evaluate((label) => benchPage.firstResult(label), label);
    } finally {
      await page.close();
    }
  }

  async close(): Promise<void> {
    await this.browser.close();
    await this.server.close();
  }
}
