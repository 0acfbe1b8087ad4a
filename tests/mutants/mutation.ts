/**
 * Mutations of WGSL: small mistakes of the kind that people make, one at a time.
 *
 * A mutation names a program and a line of it by its text, so that it applies to every configuration of the program that
 * has this line: a mistake in a template shows in all that is made from it.
 * @module
 */

/** One change of one line of a program. */
export interface Mutation {
  /** The program, `name[variant]`. */
  readonly label: string;
  /** The line as it is. */
  readonly line: string;
  /** Which of several equal lines; 0 is the first. */
  readonly occurrence: number;
  /** The line as it becomes. */
  readonly mutant: string;
  /** The kind of mistake. */
  readonly kind: string;
}

/** The code of a program with a mutation, if it is that program and has that line. */
export function mutate(
  { label, code }: { label: string; code: string },
  mutation: Mutation,
): string {
  if (label !== mutation.label) return code;
  const lines = code.split("\n");
  let left = mutation.occurrence;
  const at = lines.findIndex((line) => line === mutation.line && left-- === 0);
  if (at < 0) return code;
  lines[at] = mutation.mutant;
  return lines.join("\n");
}

/** Replacements of a pattern, each at one place; `$` works as in `String.replace`. */
interface Rule {
  readonly kind: string;
  readonly pattern: RegExp;
  readonly into: readonly string[];
  /** Lines it is for; default all. */
  readonly lines?: RegExp;
}

const NOT_A_LOOP = /^(?!\s*for\b)/;

const RULES: readonly Rule[] = [
  { kind: "barrier dropped", pattern: /workgroupBarrier\(\);/, into: [""] },
  { kind: "bound", pattern: / < /, into: [" <= "] },
  { kind: "bound", pattern: / <= /, into: [" < "] },
  { kind: "bound", pattern: / > /, into: [" >= "] },
  { kind: "bound", pattern: / >= /, into: [" > "] },
  { kind: "comparison", pattern: / == /, into: [" != "] },
  { kind: "comparison", pattern: / != /, into: [" == "] },
  { kind: "guard dropped", pattern: /if \(.*\) \{ return; \}/, into: [""] },
  { kind: "condition", pattern: / && [^(){}]+(?=\))/, into: [""] },
  { kind: "off by one", pattern: / [+-] 1u\b/, into: [""] },
  { kind: "off by one", pattern: /(for \(var \w+ = )0u;/, into: ["$11u;"] },
  { kind: "arithmetic", pattern: / \* /, into: [" + "] },
  { kind: "arithmetic", pattern: / \/ /, into: [" * "] },
  { kind: "arithmetic", pattern: / \+ (?!0u\b)/, into: [" - "] },
  { kind: "arithmetic", pattern: / - /, into: [" + "] },
  { kind: "arithmetic", pattern: / % /, into: [" / "] },
  { kind: "sign", pattern: /([(=,] ?)-(?=[\w(])/, into: ["$1"] },
  { kind: "bits", pattern: / \^ /, into: [" | "] },
  { kind: "bits", pattern: / & /, into: [" | "] },
  { kind: "bits", pattern: / >> (\d+)u/, into: [" >> ($1u - 1u)"] },
  { kind: "accumulation lost", pattern: / \+= /, into: [" = "], lines: NOT_A_LOOP },
  { kind: "accumulation lost", pattern: /\{ ([\w.[\]]+) \+= /, into: ["{ $1 = "] },
  { kind: "factor lost", pattern: / \* [a-z][\w.]*(?![\w.(\[])/, into: [""] },
  { kind: "factor lost", pattern: / \*= [^;]+;/, into: [" *= 1.0;"], lines: NOT_A_LOOP },
  { kind: "divisor lost", pattern: / \/ [a-z][\w.]*(?![\w.(\[])/, into: [""] },
  { kind: "constant", pattern: /\b0\.5\b/, into: ["1.0"] },
  { kind: "constant", pattern: /\b2\.0\b/, into: ["1.0"] },
  { kind: "constant", pattern: /\b1\.0\b/, into: ["0.5"] },
  { kind: "constant", pattern: /\b4u \* /, into: [""] },
  { kind: "extreme", pattern: /\bmax\(/, into: ["min("] },
  { kind: "extreme", pattern: /\bmin\(/, into: ["max("] },
  { kind: "function lost", pattern: /\b(exp|exp2|log|log2|sqrt|abs|sign)\(/, into: ["("] },
  { kind: "accumulate ignored", pattern: /params\.accumulate == 1u/, into: ["true", "false"] },
  { kind: "component", pattern: /\.x\b/, into: [".y"] },
  { kind: "component", pattern: /\.y\b/, into: [".x"] },
  { kind: "component", pattern: /\.z\b/, into: [".w"] },
];

/** Lines that hold no statement, or one whose change says nothing about the kernel. */
const SKIPPED = /^\s*(@|struct |alias |var<|const |fn main|\/\/|\}?$)/;

/** Splits a line into its statement and a comment at its end. */
function withoutComment(line: string): [statement: string, comment: string] {
  const at = line.indexOf("//");
  return at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at)];
}

/** The line with a rule applied at each place in turn. */
function applyRule(statement: string, { pattern, into, lines }: Rule): string[] {
  if (lines !== undefined && !lines.test(statement)) return [];
  const mutants: string[] = [];
  for (const match of statement.matchAll(new RegExp(pattern, "g"))) {
    const before = statement.slice(0, match.index);
    const after = statement.slice(match.index + match[0].length);
    for (const text of into) {
      mutants.push(before + text.replace(/\$(\d)/g, (_, n) => match[Number(n)]) + after);
    }
  }
  return mutants;
}

/** `select(a, b, c)` with a and b exchanged. */
function swapSelect(statement: string): string[] {
  const mutants: string[] = [];
  for (const { index } of statement.matchAll(/\bselect\(/g)) {
    const commas: number[] = [];
    let depth = 0, end = index + "select(".length;
    for (; end < statement.length && depth >= 0; end++) {
      const c = statement[end];
      if ("([".includes(c)) depth++;
      else if (")]".includes(c)) depth--;
      else if (c === "," && depth === 0) commas.push(end);
    }
    if (commas.length !== 2) continue;
    const begin = index + "select(".length;
    const a = statement.slice(begin, commas[0]), b = statement.slice(commas[0] + 2, commas[1]);
    mutants.push(`${statement.slice(0, begin)}${b}, ${a}${statement.slice(commas[1])}`);
  }
  return mutants;
}

/** The line with each parameter replaced by the next one of its type. */
function swapParams(statement: string, params: ReadonlyMap<string, string>): string[] {
  return [...statement.matchAll(/\bparams\.(\w+)/g)].flatMap((match) => {
    const type = params.get(match[1]);
    const alike = [...params.keys()].filter((name) => params.get(name) === type);
    if (alike.length < 2) return [];
    const other = alike[(alike.indexOf(match[1]) + 1) % alike.length];
    const after = statement.slice(match.index + match[0].length);
    return [`${statement.slice(0, match.index)}params.${other}${after}`];
  });
}

/** All mutations of a program, in the order of its lines. */
export function mutationsOf({ label, code }: { label: string; code: string }): Mutation[] {
  const params = new Map(
    (/struct Params \{ (.*) \}/.exec(code)?.[1] ?? "").split(", ")
      .map((field) => field.split(": ") as [string, string]),
  );
  const body = code.slice(code.indexOf("const WORKGROUP_SIZE"));
  const occurrences = new Map<string, number>();
  const found: Mutation[] = [];
  for (const line of body.split("\n")) {
    const occurrence = occurrences.get(line) ?? 0;
    occurrences.set(line, occurrence + 1);
    if (SKIPPED.test(line)) continue;
    const [statement, comment] = withoutComment(line);
    const add = (kind: string, mutants: readonly string[]) => {
      for (const mutant of mutants) {
        found.push({ label, line, occurrence, mutant: mutant + comment, kind });
      }
    };
    for (const rule of RULES) add(rule.kind, applyRule(statement, rule));
    add("select exchanged", swapSelect(statement));
    add("parameters exchanged", swapParams(statement, params));
  }
  return found;
}
