/**
 * Runs bundled test files in headless Chrome, a fresh page per file, one test at a time.
 *
 * A test that hangs or takes its page or the browser down is a failure of that test; the file goes on with the next
 * one in a new page.
 * @module
 */
import { SourceMap } from "node:module";
import puppeteer, { type Browser, type Page } from "puppeteer-core";
import { type Bundle, bundle } from "../../cli/bundle.ts";
import type { Chrome } from "../../cli/chrome.ts";
import { CRASH_GPU_PROCESS } from "../harness.ts";
import { type Counts, passesFilter, type RunnerOptions } from "./counts.ts";
import type { PageResult, TestPage } from "./page.ts";
import { serve } from "./server.ts";

declare const testPage: TestPage;

/** WebGPU on the software adapter that every Chrome brings, and no traffic of the browser's own. */
export const CHROME_FLAGS: readonly string[] = [
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--enable-unsafe-swiftshader",
  "--no-sandbox",
  "--headless=new",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // Tests crash the GPU process. Else Chrome keeps WebGPU from a page for two minutes after the second crash, and from
  // all pages after the third.
  "--disable-domain-blocking-for-3d-apis",
  "--disable-gpu-process-crash-limit",
];

/** Milliseconds for what is not a test: starting, loading, closing. */
const PATIENCE = 60_000;

/** Bundles files (paths relative to the project), runs their tests and counts. */
export async function runInChrome(
  files: readonly string[],
  chrome: Chrome,
  options: RunnerOptions,
): Promise<Counts> {
  const page = "tests/runner/page.ts";
  let bundled: Bundle;
  try {
    bundled = await bundle([page, ...files]);
  } catch (error) {
    console.error(`Chrome: ${error instanceof Error ? error.message : error}`);
    return { passed: 0, failed: 1 };
  }
  const server = serve(bundled);
  const session = new Session(chrome, server.origin, bundled, options);
  try {
    await session.start();
    for (const file of files) await session.runFile(file);
  } catch (error) {
    console.error(`Chrome: ${chrome.path} does not start: ${message(error)}`);
    session.counts.failed++;
  } finally {
    await session.close();
    await server.close();
  }
  session.printFailures();
  return session.counts;
}

/** One browser, restarted when it is lost, and the counts. */
class Session {
  readonly counts: Counts = { passed: 0, failed: 0 };
  readonly #failures: string[] = [];
  #browser: Browser | undefined;

  constructor(
    readonly chrome: Chrome,
    readonly origin: string,
    readonly bundled: Bundle,
    readonly options: RunnerOptions,
  ) {}

  /** Starts the browser and names it and its adapter. */
  async start(): Promise<void> {
    const page = await this.#open();
    const adapter = await within(PATIENCE, page.evaluate(() => testPage.adapter()));
    console.log(`\nChrome: ${this.chrome.version}, ${adapter}`);
    await this.#shut(page);
  }

  async runFile(file: string): Promise<void> {
    let next = 0;
    do next = await this.#runFrom(file, next); while (next !== DONE);
  }

  /** Runs a file's tests from one on, in a new page; returns where to go on after a lost page, or `DONE`. */
  async #runFrom(file: string, first: number): Promise<number> {
    let page: Page | undefined;
    try {
      page = await this.#open();
      const url = `/bundle/${file.replace(/\.ts$/, ".js")}`;
      const tests = await within(
        PATIENCE,
        page.evaluate((url, limits) => testPage.load(url, limits), url, this.options.limits),
      );
      if (typeof tests === "string") throw new Error(tests);
      if (first === 0) console.log(`\nChrome: ${tests.length} tests in ${file}`);
      for (let index = first; index < tests.length; index++) {
        const { name, timeout = this.options.timeout } = tests[index];
        if (!passesFilter(name, this.options.filter)) continue;
        const result = await this.#runTest(page, index, timeout);
        this.#report(file, name, result);
        if (result.lost) return index + 1;
      }
    } catch (error) {
      this.#report(file, first === 0 ? "(loading)" : "(loading again)", {
        milliseconds: 0,
        error: message(error),
      });
    } finally {
      await this.#shut(page);
    }
    return DONE;
  }

  async #runTest(
    page: Page,
    index: number,
    seconds: number,
  ): Promise<PageResult & { lost?: boolean }> {
    const start = performance.now();
    try {
      const running = page.evaluate((index) => testPage.run(index), index);
      return await within(seconds * 1000, Promise.race([running, crash(page)]));
    } catch (error) {
      return { milliseconds: performance.now() - start, error: message(error), lost: true };
    }
  }

  #report(file: string, name: string, { milliseconds, error }: PageResult): void {
    const time = `(${Math.round(milliseconds)} ms)`;
    if (error === undefined) {
      this.counts.passed++;
      console.log(`  ok    ${name} ${time}`);
      return;
    }
    this.counts.failed++;
    const text = this.#mapped(error).split("\n").map((line) => `        ${line}`).join("\n");
    console.log(`  FAIL  ${name} ${time}\n${text}`);
    this.#failures.push(`${file}: ${name}`);
  }

  printFailures(): void {
    if (this.#failures.length === 0) return;
    console.log(`\nfailed in Chrome:\n  ${this.#failures.join("\n  ")}`);
  }

  /** Turns places in a bundle into places in the sources. */
  #mapped(error: string): string {
    const place = /https?:\/\/[^/\s]+\/bundle\/([^\s:]+):(\d+):(\d+)/g;
    return error.replace(place, (text, name: string, line: string, column: string) => {
      const bytes = this.bundled.get(`${name}.map`);
      if (bytes === undefined) return text;
      const map = new SourceMap(JSON.parse(new TextDecoder().decode(bytes)));
      const entry = map.findEntry(Number(line) - 1, Number(column) - 1);
      if (!("originalSource" in entry)) return text;
      const { pathname } = new URL(entry.originalSource, `file:///${name}`);
      return `${pathname.slice(1)}:${entry.originalLine + 1}:${entry.originalColumn + 1}`;
    });
  }

  async #open(): Promise<Page> {
    if (this.#browser === undefined || !this.#browser.connected) {
      await this.close();
      this.#browser = await puppeteer.launch({
        executablePath: this.chrome.path,
        args: [...CHROME_FLAGS],
        timeout: PATIENCE,
        // The time of a test is bounded here, not by the protocol.
        protocolTimeout: 2 ** 31 - 1,
      });
    }
    const page = await within(PATIENCE, this.#browser.newPage());
    page.on("console", (entry) => {
      const kind = entry.type();
      if (kind === "error" || kind === "warn") console.log(`  [console ${kind}] ${entry.text()}`);
    });
    const protocol = await this.#browser.target().createCDPSession();
    await page.exposeFunction(CRASH_GPU_PROCESS, () => protocol.send("Browser.crashGpuProcess"));
    await page.goto(this.origin, { timeout: PATIENCE, waitUntil: "load" });
    return page;
  }

  /** Closes a page; one that does not answer takes its browser with it, and the next page starts a new one. */
  async #shut(page: Page | undefined): Promise<void> {
    if (page === undefined) return;
    try {
      await within(10_000, page.close());
    } catch {
      await this.close();
    }
  }

  async close(): Promise<void> {
    const browser = this.#browser;
    this.#browser = undefined;
    if (browser === undefined) return;
    try {
      await within(10_000, browser.close());
    } catch {
      browser.process()?.kill("SIGKILL");
    }
  }
}

const DONE = -1;

/** Rejects when a page or its browser is gone; never resolves. */
function crash(page: Page): Promise<never> {
  return new Promise((_, reject) => {
    page.once("error", (error) => reject(new Error(`the page crashed: ${error.message}`)));
    page.browser().once("disconnected", () => reject(new Error("the browser is gone")));
  });
}

/** A promise, or a rejection when it takes longer than some milliseconds. */
async function within<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`no end after ${milliseconds / 1000} s`)),
      milliseconds,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
