/**
 * Where mutants run: a Deno process or a page in Chrome, behind one interface, restarted when a mutant hangs it.
 * @module
 */
import puppeteer, { type Browser, type Page } from "puppeteer-core";
import { bundle } from "../../cli/bundle.ts";
import type { Chrome } from "../../cli/chrome.ts";
import { PROJECT_ROOT, quietDriverEnvironment } from "../../cli/system.ts";
import { CHROME_FLAGS } from "../runner/chrome.ts";
import { serve, type TestServer } from "../runner/server.ts";
import { ANSWER, TextLineStream } from "./lines.ts";
import type { MutantSession } from "./session.ts";

/** Thrown when a call did not return in time; the host has been restarted. */
export class HungError extends Error {}

/** Names of the session's functions. */
type Method = keyof MutantSession;

/** A session somewhere else. */
export interface Host {
  /** Names the adapter's runtime. */
  readonly name: string;
  /**
   * Calls a function of the session.
   * @throws {HungError} after some milliseconds without an answer
   */
  call<M extends Method>(
    milliseconds: number,
    method: M,
    ...args: Parameters<MutantSession[M]>
  ): Promise<Awaited<ReturnType<MutantSession[M]>>>;
  /** Ends it. */
  close(): Promise<void>;
}

/** Rejects with `HungError` when a promise takes too long. */
async function inTime<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new HungError(`no end after ${milliseconds} ms`)),
      milliseconds,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

const LOADING = 120_000;

/** Tests of files (relative to the project) in a Deno process. */
export class DenoHost implements Host {
  readonly name = "Deno";
  #child: Deno.ChildProcess | undefined;
  #answers: ReadableStreamDefaultReader<string> | undefined;
  #requests: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>> | undefined;

  constructor(readonly files: readonly string[]) {}

  async call<M extends Method>(
    milliseconds: number,
    method: M,
    ...args: Parameters<MutantSession[M]>
  ): Promise<Awaited<ReturnType<MutantSession[M]>>> {
    if (this.#child === undefined) await this.#start();
    try {
      return await inTime(milliseconds, this.#ask(method, args)) as Awaited<
        ReturnType<MutantSession[M]>
      >;
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async #start(): Promise<void> {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--allow-all", "--no-check", "tests/mutants/deno_worker.ts"],
      cwd: PROJECT_ROOT,
      env: quietDriverEnvironment(),
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    this.#requests = this.#child.stdin.getWriter();
    this.#answers = this.#child.stdout.pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream()).getReader();
    await inTime(LOADING, this.#ask("load", [this.files.map((file) => `../../${file}`)]));
  }

  async #ask(method: string, args: readonly unknown[]): Promise<unknown> {
    await this.#requests!.write(
      new TextEncoder().encode(JSON.stringify([method, ...args]) + "\n"),
    );
    while (true) {
      const { value, done } = await this.#answers!.read();
      if (done) throw new HungError("the process ended");
      if (!value.startsWith(ANSWER)) continue;
      const answer = JSON.parse(value.slice(ANSWER.length));
      if ("error" in answer) throw new Error(answer.error);
      return answer.value;
    }
  }

  async close(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined) return;
    try {
      child.kill("SIGKILL");
    } catch {
      // it has ended by itself
    }
    await child.status;
    await this.#answers?.cancel().catch(() => {});
    await this.#requests?.abort().catch(() => {});
  }
}

declare const mutantSession: MutantSession;

/** Tests of files in a page of headless Chrome. */
export class ChromeHost implements Host {
  readonly name = "Chrome";
  #browser: Browser | undefined;
  #page: Page | undefined;
  #server: TestServer | undefined;

  constructor(readonly files: readonly string[], readonly chrome: Chrome) {}

  async call<M extends Method>(
    milliseconds: number,
    method: M,
    ...args: Parameters<MutantSession[M]>
  ): Promise<Awaited<ReturnType<MutantSession[M]>>> {
    if (this.#page === undefined) await this.#start();
    const running = this.#page!.evaluate(
      // deno-lint-ignore no-explicit-any -- the page's side of a call that is typed here
      (method, args) => (mutantSession as any)[method](...args),
      method,
      args as unknown[],
    );
    try {
      return await inTime(milliseconds, running);
    } catch (error) {
      await this.#stop();
      throw error instanceof HungError ? error : new HungError(String(error));
    }
  }

  async #start(): Promise<void> {
    const entry = "tests/mutants/session.ts";
    this.#server ??= serve(await bundle(["tests/runner/page.ts", entry, ...this.files]));
    this.#browser = await puppeteer.launch({
      executablePath: this.chrome.path,
      args: [...CHROME_FLAGS],
      protocolTimeout: 2 ** 31 - 1,
    });
    this.#page = await this.#browser.newPage();
    await this.#page.goto(this.#server.origin, { waitUntil: "load" });
    const urlOf = (file: string) => `/bundle/${file.replace(/\.ts$/, ".js")}`;
    const load = this.#page.evaluate(
      async (session, files) => {
        const module = await import(session);
        Reflect.set(globalThis, "mutantSession", module.mutantSession);
        return await module.mutantSession.load(files);
      },
      urlOf(entry),
      this.files.map(urlOf),
    );
    await inTime(LOADING, load);
  }

  async #stop(): Promise<void> {
    const browser = this.#browser;
    this.#browser = this.#page = undefined;
    if (browser === undefined) return;
    const process = browser.process();
    await inTime(5000, browser.close()).catch(() => process?.kill("SIGKILL"));
  }

  async close(): Promise<void> {
    await this.#stop();
    await this.#server?.close();
    this.#server = undefined;
  }
}
