/**
 * Which invocation writes an output, found by running the kernel's own code: every store to an output is rewritten so
 * that it stores the number of the invocation instead of the value.
 * @module
 */
import type { Binding, Kernel, Program } from "../../kernels/kernel.ts";

const MARK = "atlas_invocation";

/**
 * The kernel with stores of `1 + workgroup * invocations + invocation`, as numbers of the output's type.
 * Outputs must start as zeros, which then mean that nobody wrote.
 * @throws {Error} when no store was found (a mistake in the atlas).
 */
export function markOwners(kernel: Kernel): Kernel {
  const { program } = kernel;
  const outputs = program.bindings.filter(({ access }) => access !== "read");
  let code = outputs.reduce(rewriteStores, program.code);
  const main = /fn main\(([^{]*)\)\s*\{/.exec(code);
  if (main === null) throw new Error(`${program.name}: no main`);
  // a single invocation needs no number
  const t = builtin(main[1], "local_invocation_index") ?? "0u";
  const group = builtin(main[1], "workgroup_id"), groups = builtin(main[1], "num_workgroups");
  // what takes no number of its workgroup is launched as one
  const linear = group === null ? "0u" : `(${group}.y * ${groups}.x + ${group}.x)`;
  const at = main.index + main[0].length;
  code = `var<private> ${MARK}: u32;\n${code.slice(0, at)}
  ${MARK} = 1u + ${linear} * WORKGROUP_SIZE + ${t};${code.slice(at)}`;
  // `enable` must come first
  const enables = code.match(/^enable .*;$/gm)?.join("\n") ?? "";
  const marked: Program = {
    ...program,
    variant: `${program.variant}, owners`,
    code: `${enables}\n${code.replace(/^enable .*;$/gm, "")}`,
  };
  const { reference: _, ...rest } = kernel;
  return { ...rest, program: marked };
}

/** The name of a builtin among the arguments of `main`; null where it takes none. */
function builtin(list: string, name: string): string | null {
  return new RegExp(`@builtin\\(${name}\\)\\s*(\\w+)`).exec(list)?.[1] ?? null;
}

/** Replaces the value of every store `name[...] = value;` (and `+=`) by the invocation's number. */
function rewriteStores(code: string, { name, type }: Binding): string {
  const scalar = type.startsWith("vec") ? /<(\w+)>/.exec(type)![1] : type;
  const mark = scalar === type ? `${scalar}(${MARK})` : `${type}(${scalar}(${MARK}))`;
  let result = "", from = 0, stores = 0;
  for (const match of code.matchAll(new RegExp(`(?<![\\w.])${name}\\[`, "g"))) {
    if (match.index < from) continue;
    const index = closing(code, match.index + match[0].length - 1) + 1;
    const store = /^(\.[xyzw])?\s*[-+*/]?=(?!=)/.exec(code.slice(index));
    if (store === null) continue;
    const end = code.indexOf(";", index);
    const value = store[1] === undefined ? mark : `${scalar}(${MARK})`;
    // the value is still computed: it may be a call that stores something else
    const old = code.slice(index + store[0].length, end).trim();
    result += `${code.slice(from, index)}${store[1] ?? ""} = select(${old}, ${value}, true)`;
    from = end;
    stores++;
  }
  if (stores === 0) throw new Error(`no store to ${name} was found`);
  return result + code.slice(from);
}

/** Where the bracket at `open` closes. */
function closing(code: string, open: number): number {
  let depth = 0;
  for (let i = open; i < code.length; i++) {
    if (code[i] === "[") depth++;
    else if (code[i] === "]" && --depth === 0) return i;
  }
  throw new Error("a bracket does not close");
}

/** Whose an element is. */
export interface Owner {
  readonly workgroup: number;
  readonly invocation: number;
}

/** The owner that a stored number stands for; null where nothing was stored. */
export function ownerOf(stored: number, { workgroupSize }: Program): Owner | null {
  if (!(stored > 0)) return null;
  const id = stored - 1;
  return { workgroup: Math.floor(id / workgroupSize), invocation: id % workgroupSize };
}
