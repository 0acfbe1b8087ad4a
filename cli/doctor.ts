/**
 * `deno task doctor [--json]`: what this machine has for wgrad, and the fix for each lack.
 *
 * Ends with code 1 where something needed is missing; a browser is needed for the tests only, so its lack is a note.
 * @module
 */
import { adapterLabel, isSoftwareAdapter, limitsBelow, NEEDED_LIMITS } from "../engine/adapter.ts";
import { type Chrome, chromeHelp, findChrome } from "./chrome.ts";
import { readArguments, runMain } from "./main.ts";
import { type AdapterReport, probeAdapter, type ProbeResult } from "./probe.ts";
import { type SelfTestReport, timeSelfTest } from "./self_test.ts";
import { driverAdvice } from "./setup.ts";
import { currentDistribution } from "./system.ts";

/** The version of Deno that wgrad is made and tested with. */
export const TESTED_DENO = "2.9.6";

/** Features that kernels can use; none is needed. */
export const USEFUL_FEATURES: Readonly<Record<string, string>> = {
  "shader-f16": "half precision: half the memory traffic",
  "subgroups": "sums across neighbouring threads without shared memory",
  "timestamp-query": "GPU times per kernel",
};

/** Something that is missing, and what to do about it. */
export interface Problem {
  /** False for what only the tests need, or what works but could be better. */
  readonly needed: boolean;
  /** What is wrong. */
  readonly what: string;
  /** A command or sentence. */
  readonly fix: string;
}

/** All that doctor finds. */
export interface Diagnosis {
  /** The version of Deno. */
  readonly deno: string;
  /** The operating system and processor. */
  readonly system: string;
  /** The adapter that was found, if any. */
  readonly adapter: AdapterReport | null;
  /** How it is reached: `native` is Vulkan, Metal or Direct3D 12, `gl` is OpenGL. */
  readonly backend: "native" | "gl" | null;
  /** Whether it computes on the CPU. */
  readonly software: boolean | null;
  /** How long the self-test of a device takes; null without an adapter. */
  readonly selfTest: SelfTestReport | null;
  /** The tests' browser, if any. */
  readonly chrome: Chrome | null;
  /** All that is missing or could be better, empty where nothing is. */
  readonly problems: readonly Problem[];
}

/** Looks at everything; never throws for want of a GPU or browser. */
export async function diagnose(): Promise<Diagnosis> {
  const [found, search] = await Promise.all([probeAdapter(), findChrome()]);
  const distribution = currentDistribution();
  const problems = [...denoProblems(Deno.version.deno), ...adapterProblems(found)];
  const selfTest = found.adapter === null ? null : await timeSelfTest();
  if (selfTest !== null && selfTest.wrong !== null) {
    problems.push({
      needed: true,
      what: `the adapter computes ${selfTest.wrong} wrongly`,
      fix: driverAdvice(),
    });
  }
  if (search.chrome === null) {
    problems.push({
      needed: false,
      what: `no browser for the tests: ${search.reason}`,
      fix: chromeHelp(Deno.build.os, distribution),
    });
  }
  return {
    deno: Deno.version.deno,
    system: `${distribution?.name ?? Deno.build.os}, ${Deno.build.arch}`,
    adapter: found.adapter,
    backend: found.adapter === null ? null : found.backend,
    software: found.adapter === null ? null : isSoftwareAdapter(found.adapter),
    selfTest,
    chrome: search.chrome,
    problems,
  };
}

/** What is wrong with a version of Deno: older than the tested one. */
export function denoProblems(version: string): Problem[] {
  const [have, want] = [version, TESTED_DENO].map((text) => text.split(/[.+-]/).map(Number));
  const difference = have[0] - want[0] || have[1] - want[1] || have[2] - want[2];
  if (difference >= 0) return [];
  return [{
    needed: true,
    what: `Deno ${version} is older than ${TESTED_DENO}`,
    fix: `npx -y deno@${TESTED_DENO} task doctor, or deno upgrade ${TESTED_DENO}`,
  }];
}

/** What is wrong with the outcome of a search for an adapter. */
export function adapterProblems(found: ProbeResult): Problem[] {
  const fix = driverAdvice();
  if (found.adapter === null) {
    return [{ needed: true, what: `no WebGPU adapter: ${found.reason}`, fix }];
  }
  const { adapter, backend } = found;
  const problems: Problem[] = [];
  if (adapter.computes !== true) {
    problems.push({ needed: true, what: `the adapter does not compute: ${adapter.computes}`, fix });
  }
  if (backend === "gl") {
    problems.push({ needed: false, what: "the adapter is reached through OpenGL only", fix });
  }
  for (const what of limitsBelow(adapter.limits)) problems.push({ needed: true, what, fix });
  return problems;
}

/** The diagnosis as text for people. */
export function describe(diagnosis: Diagnosis): string {
  const { adapter, chrome, problems } = diagnosis;
  const lines = [
    `system    ${diagnosis.system}`,
    `Deno      ${diagnosis.deno} (tested with ${TESTED_DENO})`,
    `adapter   ${adapter === null ? "none" : adapterLabel(adapter)}`,
  ];
  if (adapter !== null) lines.push(...describeAdapter(adapter, diagnosis.backend));
  if (diagnosis.selfTest !== null) lines.push(`self-test ${describeSelfTest(diagnosis.selfTest)}`);
  lines.push(`browser   ${chrome === null ? "none" : `${chrome.version}, ${chrome.path}`}`);
  for (const { needed, what, fix } of problems) {
    lines.push("", `${needed ? "MISSING" : "note"}: ${what}`, ...indent(`fix: ${fix}`));
  }
  const lacks = problems.filter((problem) => problem.needed).length;
  lines.push(
    "",
    lacks === 0 ? "All that is needed is here." : `${lacks} needed: see MISSING above.`,
  );
  return lines.join("\n");
}

function describeSelfTest({ cold, warm }: SelfTestReport): string {
  const [first, next] = [cold, warm].map((ms) => ms.toFixed(ms < 10 ? 1 : 0));
  return `cold ${first} ms, beside the compilation of the first step; warm ${next} ms`;
}

function describeAdapter(adapter: AdapterReport, backend: "native" | "gl" | null): string[] {
  const kind = isSoftwareAdapter(adapter)
    ? "software: computes on the CPU; right, but slow"
    : "hardware: a graphics processor";
  const names = { vendor: adapter.vendor, architecture: adapter.architecture };
  const driver = Object.entries({ ...names, device: adapter.device, driver: adapter.description })
    .filter(([, value]) => value !== "").map(([name, value]) => `${name} ${value}`).join(", ");
  const lines = [
    `          ${kind}`,
    `          ${driver}${backend === "gl" ? ", through OpenGL" : ""}`,
    "limits    have (need)",
  ];
  for (const [name, need] of Object.entries(NEEDED_LIMITS)) {
    const have = adapter.limits[name] ?? 0;
    lines.push(`          ${name} ${have.toLocaleString("en")} (${need.toLocaleString("en")})`);
  }
  lines.push("features");
  for (const [name, use] of Object.entries(USEFUL_FEATURES)) {
    lines.push(`          ${name} ${adapter.features.includes(name) ? "yes" : "no"}: ${use}`);
  }
  return lines;
}

function indent(text: string): string[] {
  return text.split("\n").map((line) => `  ${line}`);
}

const USAGE = `deno task doctor [--json]: what this machine has for wgrad, and the fix for each lack
  --json  for programs`;

/** Prints the diagnosis; returns the exit code. */
async function main(): Promise<number> {
  const options = { json: { type: "boolean", default: false } } as const;
  const { values } = readArguments(USAGE, Deno.args, { options });
  const diagnosis = await diagnose();
  console.log(values.json ? JSON.stringify(diagnosis, null, 2) : describe(diagnosis));
  return diagnosis.problems.some((problem) => problem.needed) ? 1 : 0;
}

if (import.meta.main) await runMain("doctor", main);
