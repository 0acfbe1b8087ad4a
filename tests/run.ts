/**
 * `deno task test [--deno] [--chrome] [--filter TEXT] [--timeout SECONDS] [--limits default] [--no-install]
 * [FILES OR FOLDERS...]`
 *
 * Sets up what is missing, then runs every `tests/**\/*_test.ts` in Deno and, but for `*_deno_test.ts`, in headless
 * Chrome; `*_browser_test.ts` run in Deno and drive Chrome from there. `--deno` or `--chrome` runs one of the two alone. The last line is `N passed, N failed` over all; the exit
 * code is 1 where anything failed or nothing ran. `--limits default` makes the GPU tests run on a device with the
 * specification's default limits.
 * @module
 */
import { relative, resolve } from "node:path";
import { readArguments, runMain, UsageError } from "../cli/main.ts";
import { setUp } from "../cli/setup.ts";
import { PROJECT_ROOT } from "../cli/system.ts";
import { adapterLabel } from "../engine/adapter.ts";
import { runInChrome } from "./runner/chrome.ts";
import type { Counts, RunnerOptions } from "./runner/counts.ts";
import { runInDeno } from "./runner/deno.ts";

const USAGE =
  `deno task test [options] [FILES OR FOLDERS]: runs the tests in Deno and in headless Chrome
  --deno, --chrome   in one of the two alone
  --filter TEXT      those with TEXT in their name
  --timeout SECONDS  of one test; default 120
  --limits default   on a device with WebGPU's default limits
  --no-install       print what to install instead of installing it`;

/** All test files of the project, sorted, relative to its root. */
async function allTests(folder = "tests"): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of Deno.readDir(`${PROJECT_ROOT}/${folder}`)) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) found.push(...await allTests(path));
    else if (path.endsWith("_test.ts")) found.push(path);
  }
  return found.sort();
}

/** The files of files and folders given on the command line, relative to the project's root. */
async function givenTests(given: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const name of given) {
    const path = relative(PROJECT_ROOT, resolve(name)).replaceAll("\\", "/");
    const info = await Deno.stat(name).catch(() => null);
    if (info === null) throw new UsageError(`there is no ${name}`);
    found.push(...info.isDirectory ? await allTests(path) : [path]);
  }
  return found;
}

async function main(): Promise<number> {
  const { values, positionals } = readArguments(USAGE, Deno.args, {
    allowPositionals: true,
    options: {
      deno: { type: "boolean", default: false },
      chrome: { type: "boolean", default: false },
      filter: { type: "string", default: "" },
      timeout: { type: "string", default: "120" },
      limits: { type: "string", default: "adapter" },
      "no-install": { type: "boolean", default: false },
    },
  });
  const timeout = Number(values.timeout);
  if (!(timeout > 0)) throw new UsageError(`--timeout takes seconds, not ${values.timeout}`);
  const { limits } = values;
  if (limits !== "adapter" && limits !== "default") {
    throw new UsageError(`--limits takes adapter or default, not ${limits}`);
  }
  const files = await (positionals.length > 0 ? givenTests(positionals) : allTests());
  const both = values.deno === values.chrome;
  const wantDeno = both || values.deno, wantChrome = both || values.chrome;
  const machine = await setUp({ tests: wantChrome, install: !values["no-install"] });

  // A choice of files or names may leave one runtime without a test, a whole run may not.
  const chosen = positionals.length > 0 || values.filter !== "";
  const options: RunnerOptions = { filter: values.filter, timeout, limits };
  const total: Counts = { passed: 0, failed: 0 };
  const add = (runtime: string, counts: Counts): void => {
    console.log(`\n${runtime}: ${counts.passed} passed, ${counts.failed} failed`);
    if (!chosen && counts.passed + counts.failed === 0) {
      console.error(`${runtime}: no test ran, which counts as a failure`);
      counts.failed++;
    }
    total.passed += counts.passed;
    total.failed += counts.failed;
  };
  const drivers = files.filter((file) => file.endsWith("_browser_test.ts"));
  const alone = files.filter((file) => !drivers.includes(file));
  if (wantDeno && alone.length > 0) { // given no file, Deno would run every one
    console.log(`Deno: ${Deno.version.deno}, ${adapterLabel(machine.adapter)}`);
    add("Deno", await runInDeno(alone, options));
  }
  if (wantChrome && machine.chrome !== null) {
    const portable = files.filter((file) => !/_(deno|browser)_test\.ts$/.test(file));
    add("Chrome", await runInChrome(portable, machine.chrome, options));
    if (drivers.length > 0) add("Pages", await runInDeno(drivers, options));
  }
  if (total.passed + total.failed === 0) {
    console.error("no test ran, which counts as a failure");
    total.failed++;
  }
  console.log(`\n${total.passed} passed, ${total.failed} failed`);
  return total.failed === 0 ? 0 : 1;
}

await runMain("test", main);
