/**
 * `deno task setup [--no-install] [--tests]`: makes this machine able to run wgrad, or says exactly what to do.
 *
 * It looks for a WebGPU adapter, and with `--tests` for a Chrome and ffmpeg. As root on Debian or Ubuntu it installs what is
 * missing, after saying so; elsewhere, and with `--no-install`, it prints the commands and ends with code 1.
 * @module
 */
import { adapterHelp, adapterLabel, DRIVER_COMMANDS, limitsBelow } from "../engine/adapter.ts";
import { type Chrome, chromeHelp, findChrome } from "./chrome.ts";
import { ffmpegHelp, hasFfmpeg } from "./gaze/ffmpeg.ts";
import { ProgramError, readArguments, runMain } from "./main.ts";
import { type AdapterReport, probeAdapter, type ProbeResult } from "./probe.ts";
import {
  asRoot,
  currentDistribution,
  DRIVER_PACKAGES,
  isRoot,
  isUbuntu,
  packageManagerOf,
  run,
} from "./system.ts";

/** What `setUp` is asked for. */
export interface SetupOptions {
  /** Whether packages may be installed; otherwise the commands are printed. Default true. */
  readonly install?: boolean;
  /** Whether the tests' browser and ffmpeg are needed too. Default false. */
  readonly tests?: boolean;
}

/** What a machine that is set up has. */
export interface SetupResult {
  /** An adapter that computes. */
  readonly adapter: AdapterReport;
  /** The tests' browser; null unless it was asked for. */
  readonly chrome: Chrome | null;
}

/** Something is missing and cannot be installed from here; the message says what to do. */
export class SetupError extends ProgramError {
  /** The name of the class. */
  override readonly name = "SetupError";
}

/**
 * Finds what is needed and installs what is missing where it may; quick where all is there.
 * @throws {SetupError} where something is still missing at the end.
 */
export async function setUp(options: SetupOptions = {}): Promise<SetupResult> {
  const { install = true, tests = false } = options;
  let [found, search] = await Promise.all([probeAdapter(), tests ? findChrome() : null]);
  const wanted: string[] = [];
  if (!isEnough(found)) wanted.push(...DRIVER_PACKAGES);
  const distribution = currentDistribution();
  // On Ubuntu `chromium` is a stub for a snap, so only the advice below helps there.
  const chromePackage = distribution && !isUbuntu(distribution);
  if (search?.chrome === null && chromePackage) wanted.push("chromium");
  if (tests && !await hasFfmpeg()) wanted.push("ffmpeg");

  const canInstall = install && isRoot() && distribution !== undefined &&
    packageManagerOf(distribution) === "apt";
  if (wanted.length > 0 && canInstall) {
    if (!isEnough(found)) console.log(`setup: ${adapterProblem(found)}`);
    try {
      await installPackages(wanted);
    } catch (error) {
      // What is there may do without what could not be installed.
      if (!isUsable(found) || search?.chrome === null) throw error;
      console.log(`setup: going on without: ${(error as SetupError).message}`);
    }
    [found, search] = await Promise.all([probeAdapter(), tests ? findChrome() : null]);
  }
  const lacks: string[] = [];
  if (!isUsable(found)) lacks.push(`${adapterProblem(found)}\n${driverAdvice()}`);
  if (search?.chrome === null) lacks.push(chromeAdvice(search.reason));
  if (tests && !await hasFfmpeg()) {
    lacks.push(`No ffmpeg for the tests of videos. Install it:  ${ffmpegHelp()}`);
  }
  if (lacks.length > 0 || found.adapter === null) throw new SetupError(lacks.join("\n\n"));
  return { adapter: found.adapter, chrome: search?.chrome ?? null };
}

function isUsable(found: ProbeResult): boolean {
  return found.adapter !== null && found.adapter.computes === true &&
    limitsBelow(found.adapter.limits).length === 0;
}

/** OpenGL is good enough to go on with, not good enough to leave it at that where Vulkan can be installed. */
function isEnough(found: ProbeResult): boolean {
  return isUsable(found) && "backend" in found && found.backend === "native";
}

function adapterProblem(found: ProbeResult): string {
  if (found.adapter === null) return `no WebGPU adapter: ${found.reason}`;
  if (found.adapter.computes !== true) {
    return `${adapterLabel(found.adapter)} does not compute: ${found.adapter.computes}`;
  }
  const lacks = limitsBelow(found.adapter.limits);
  if (lacks.length > 0) return `${adapterLabel(found.adapter)} is too small: ${lacks.join(", ")}`;
  return `${adapterLabel(found.adapter)} is reached through OpenGL only, Vulkan is better`;
}

function chromeAdvice(reason: string): string {
  return `No browser for the tests: ${reason}\n` +
    `Install one:  ${chromeHelp(Deno.build.os, currentDistribution())}\n` +
    "or run the tests in Deno alone:  deno task test --deno";
}

/** What to do for an adapter on this very system: the one command where it is known, else the general help. */
export function driverAdvice(): string {
  const distribution = currentDistribution();
  const manager = distribution && packageManagerOf(distribution);
  const hiding = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "DENO_WEBGPU_BACKEND"]
    .filter((name) => Deno.env.get(name) !== undefined)
    .map((name) => `${name} is set to "${Deno.env.get(name)}" and may hide a driver: unset it.`);
  const advice = manager === undefined
    ? adapterHelp()
    : `Install Mesa's software Vulkan driver:  ${asRoot(DRIVER_COMMANDS[manager])}\n` +
      "or the Vulkan driver of your graphics card.";
  return [...hiding, advice].join("\n");
}

/**
 * Installs Debian packages, saying so first; `program` stands in for `apt-get` in tests.
 * @throws {SetupError} with the end of the log where that fails.
 */
export async function installPackages(
  packages: readonly string[],
  program = "apt-get",
): Promise<void> {
  console.log(`setup: installing Debian packages ${packages.join(", ")} (a minute or two)`);
  let log = "", code = 0;
  for (const step of [["update"], ["install", "-y", "--no-install-recommends", ...packages]]) {
    console.log(`setup: apt-get ${step.join(" ")}`);
    const result = await run([program, "-o", "DPkg::Lock::Timeout=300", ...step], {
      env: { DEBIAN_FRONTEND: "noninteractive" },
    });
    log += `$ apt-get ${step.join(" ")}\n${result.stdout}${result.stderr}`;
    code = result.code;
  }
  // A failed update is forgiven where the installation succeeds: one dead mirror need not matter.
  if (code === 0) return;
  const tail = log.trimEnd().split("\n").slice(-25).join("\n");
  throw new SetupError(`apt-get install failed with code ${code}; the end of its log:\n${tail}`);
}

const USAGE = `deno task setup [options]: makes this machine able to run wgrad, or says what to do
  --tests       the tests' browser and ffmpeg are needed too
  --no-install  print what to install instead of installing it`;

/** Reads the command line, sets up and prints what was found. */
async function main(): Promise<void> {
  const { values } = readArguments(USAGE, Deno.args, {
    options: {
      tests: { type: "boolean", default: false },
      "no-install": { type: "boolean", default: false },
    },
  });
  const { adapter, chrome } = await setUp({
    install: !values["no-install"],
    tests: values.tests,
  });
  console.log(`setup: adapter ${adapterLabel(adapter)}`);
  if (chrome !== null) console.log(`setup: browser ${chrome.version} (${chrome.path})`);
}

if (import.meta.main) await runMain("setup", main);
