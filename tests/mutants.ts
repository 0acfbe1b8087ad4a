/**
 * `deno task test:mutants [--only TEXT] [--seconds N] [--per N] [--seed N] [--chrome] [TEST FILES...]`
 *
 * Do the tests notice mistakes in the shaders? Each mutant is a program with one small mistake; the tests that use the
 * program run until one fails. A mutant that no test kills is a survivor: a test is missing, or the change changes
 * nothing (then it belongs into tests/mutants/equivalent.ts, with the reason).
 *
 * `--only` takes a kernel file's name or part of a program's `name[variant]`, and may be given again; `--seconds` ends the run (default 600),
 * which goes round the programs so that each gets its share; `--per` bounds the mutants of one program. `--chrome` runs
 * them in Chrome: SwiftShader runs 4 invocations together, lavapipe 8, so a barrier that one of them does not need may be
 * needed by the other. The exit code is 1 where a mutant survives.
 * @module
 */
import { parseArgs } from "node:util";
import { CATALOGUE } from "../kernels/catalogue.ts";
import { setUp } from "../cli/setup.ts";
import { PROJECT_ROOT } from "../cli/system.ts";
import { equivalence } from "./mutants/equivalent.ts";
import { ChromeHost, DenoHost, type Host, HungError } from "./mutants/hosts.ts";
import { type Mutation, mutationsOf } from "./mutants/mutation.ts";
import type { SeenProgram, Trace } from "./mutants/session.ts";

const { values, positionals } = parseArgs({
  args: Deno.args,
  allowPositionals: true,
  options: {
    only: { type: "string", multiple: true, default: [""] },
    seconds: { type: "string", default: "600" },
    per: { type: "string", default: "1000" },
    seed: { type: "string", default: "1" },
    chrome: { type: "boolean", default: false },
  },
});

/** The most tests a mutant has to survive; those with the fewest programs come first. */
const MOST_TESTS = 40;
/** Milliseconds a mutant may take beyond ten times what its tests take. */
const PATIENCE = 20_000;

/** Test files of the kernels and of what calls them. */
async function testFiles(folders: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const folder of folders) {
    for await (const { name } of Deno.readDir(`${PROJECT_ROOT}/${folder}`)) {
      if (name.endsWith("_test.ts") && !name.endsWith("_deno_test.ts")) {
        found.push(`${folder}/${name}`);
      }
    }
  }
  return found.sort();
}

/** Pseudo-random numbers in [0, 1) that depend on the seed alone. */
function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return ((z ^ (z >>> 16)) >>> 0) / 2 ** 32;
  };
}

/** Mutations in random order, but one of each kind before the second of any. */
function shuffled(mutations: readonly Mutation[], next: () => number): Mutation[] {
  const turns = new Map<string, number>();
  return mutations.map((mutation) => ({ mutation, key: next() }))
    .sort((a, b) => a.key - b.key)
    .map(({ mutation, key }) => {
      const turn = turns.get(mutation.kind) ?? 0;
      turns.set(mutation.kind, turn + 1);
      return { mutation, key: turn + key };
    })
    .sort((a, b) => a.key - b.key)
    .map(({ mutation }) => mutation);
}

async function traceAll(host: Host, count: number): Promise<Trace[]> {
  const traces: Trace[] = [];
  for (let test = 0; test < count; test++) traces.push(await host.call(300_000, "trace", test));
  for (const { name, error } of traces) {
    if (error !== undefined) console.log(`fails without a mutation, left out: ${name}: ${error}`);
  }
  return traces;
}

/** Labels of the programs of a kernel file. */
function labelsOf(wanted: string): string[] {
  return CATALOGUE.filter(({ family }) => family === wanted)
    .flatMap(({ small }) => small())
    .map(({ kernel: { program } }) => `${program.name}[${program.variant}]`);
}

/** Labels of the programs that `--only` asks for. */
const wanted = new Set(values.only.flatMap(labelsOf));
function isWanted(label: string): boolean {
  return wanted.has(label) || values.only.some((only) => label.includes(only));
}

/** Half forms are left out: kernels/half.ts makes them from programs that are mutated themselves. */
function isHalfForm({ code }: SeenProgram): boolean {
  return code.startsWith("enable f16;");
}

/** All mutations of every program that is asked for, by label. */
function allMutations(programs: readonly SeenProgram[]): Map<string, Mutation[]> {
  const byLabel = new Map<string, Map<string, Mutation>>();
  for (const program of programs) {
    if (!isWanted(program.label) || isHalfForm(program)) continue;
    const known = byLabel.get(program.label) ?? new Map<string, Mutation>();
    byLabel.set(program.label, known);
    for (const mutation of mutationsOf(program)) {
      known.set(`${mutation.line}\n${mutation.occurrence}\n${mutation.mutant}`, mutation);
    }
  }
  return new Map([...byLabel].map(([label, known]) => [label, [...known.values()]]));
}

/** Tests that compile a program which the mutation changes: those of few programs first. */
function testsFor(
  { label, line }: Mutation,
  programs: readonly SeenProgram[],
  traces: readonly Trace[],
): number[] {
  const hit = new Set(
    programs.flatMap((program, i) =>
      program.label === label && program.code.split("\n").includes(line) ? [i] : []
    ),
  );
  return traces.map((_, test) => test)
    .filter((test) => traces[test].error === undefined)
    .filter((test) => traces[test].programs.some((i) => hit.has(i)))
    .sort((a, b) =>
      traces[a].programs.length - traces[b].programs.length ||
      traces[a].milliseconds - traces[b].milliseconds
    );
}

async function main(): Promise<number> {
  const begin = performance.now();
  const files = positionals.length > 0
    ? positionals
    : await testFiles(["tests/kernels", "tests/engine", "tests/nn"]);
  const machine = await setUp({ tests: values.chrome, install: false });
  const makeHost = () =>
    values.chrome ? new ChromeHost(files, machine.chrome!) : new DenoHost(files);
  const host = makeHost();
  try {
    const traces = await traceAll(host, await host.call(300_000, "count"));
    const programs = await host.call(60_000, "programs");
    const traced = Math.round((performance.now() - begin) / 1000);
    console.log(
      `${host.name}: ${traces.length} tests, ${programs.length} programs (${traced} s); mutating`,
    );
    return await tryMutants(host, programs, traces);
  } finally {
    await host.close();
  }
}

async function tryMutants(
  host: Host,
  programs: readonly SeenProgram[],
  traces: readonly Trace[],
): Promise<number> {
  const next = random(Number(values.seed));
  const queues = [...allMutations(programs).values()]
    .map((mutations) => shuffled(mutations, next).slice(0, Number(values.per)));
  const total = queues.reduce((sum, queue) => sum + queue.length, 0);
  const end = performance.now() + 1000 * Number(values.seconds);
  const counts = { killed: 0, refused: 0, hung: 0, equivalent: 0, survived: 0 };
  for (let round = 0; queues.some((queue) => queue.length > round); round++) {
    for (const queue of queues) {
      const mutation = queue[round];
      if (mutation === undefined || performance.now() > end) continue;
      if (equivalence(mutation) !== undefined) {
        counts.equivalent++;
        continue;
      }
      const tests = testsFor(mutation, programs, traces);
      const tried = tests.slice(0, MOST_TESTS);
      const usual = tried.reduce((sum, test) => sum + traces[test].milliseconds, 0);
      try {
        const verdict = await host.call(PATIENCE + 10 * usual, "run", mutation, tried);
        if (verdict.killer === undefined) {
          counts.survived++;
          console.log(
            `survivor: ${mutation.label}, ${mutation.kind}, ${tried.length} of ${tests.length} tests` +
              `${verdict.applied === 0 ? ", NEVER APPLIED" : ""}` +
              `\n  - ${mutation.line.trim()}\n  + ${mutation.mutant.trim()}`,
          );
        } else if (verdict.error?.includes("does not compile")) counts.refused++;
        else counts.killed++;
      } catch (error) {
        if (!(error instanceof HungError)) throw error;
        counts.hung++;
      }
    }
  }
  const tried = Object.values(counts).reduce((a, b) => a + b);
  console.log(
    `${tried} of ${total} mutants tried in ${host.name}: ${counts.killed} killed by a test, ` +
      `${counts.refused} refused by the compiler, ${counts.hung} without an end, ` +
      `${counts.equivalent} known to change nothing, ${counts.survived} survived`,
  );
  return counts.survived === 0 ? 0 : 1;
}

Deno.exit(await main());
