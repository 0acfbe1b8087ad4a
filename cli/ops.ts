/**
 * `deno task ops`: writes `docs/ops.md`, a table of all ops, from their signatures, checks, imports and tests. A test fails
 * when the page is older than they are.
 * @module
 */
import { basename } from "node:path";
import { writeFileAtomic } from "../io/files.ts";
import { escape, formatted, type OpDoc, readOps } from "./gradients.ts";
import { runMain } from "./main.ts";
import { PROJECT_ROOT } from "./system.ts";

/** Where the page is, relative to the project. */
export const PAGE = "docs/ops.md";

/** One line of the table. */
export interface OpRow {
  readonly name: string;
  /** Its parameters; tensors with their dtypes. */
  readonly signature: string;
  /** Where it is, relative to the project. */
  readonly file: string;
  /** What it computes, in its docstring's first sentence. */
  readonly summary: string;
  /** The tensors that a gradient flows to. */
  readonly differentiable: readonly string[];
  /** Files of `kernels/` that its file runs. */
  readonly kernels: readonly string[];
  /** The files of `tests/engine/` that import it, by name or with all of them. Each runs in Deno and, unless it is named `_deno_test.ts`, in Chrome. */
  readonly tests: readonly string[];
}

/** Reads the sources and tests, and makes a row of each op. */
export async function opRows(): Promise<OpRow[]> {
  const tests = new Map<string, string>();
  for await (const { name } of Deno.readDir(`${PROJECT_ROOT}tests/engine`)) {
    if (name.endsWith("_test.ts")) tests.set(name, await read(`tests/engine/${name}`));
  }
  const rows = (await readOps()).map(async (op) => row(op, await read(op.file), tests));
  return await Promise.all(rows);
}

/** The text of a file of the project. */
function read(path: string): Promise<string> {
  return Deno.readTextFile(`${PROJECT_ROOT}${path}`);
}

function row(op: OpDoc, source: string, tests: ReadonlyMap<string, string>): OpRow {
  const { name, file, summary, gradient = "" } = op;
  // Imported by name, taken from all of `ops`, or the method of a tensor that takes a dtype.
  const used = new RegExp(
    `import \\{[^}]*\\b${name}\\b[^}]*\\} from "../../(engine/|mod\\.ts)|\\bops\\.${name}\\b|\\.${name}\\("f(16|32)"`,
  );
  const constant = (tensor: string) =>
    new RegExp(`\\bnone for (the )?(\\w+ and )?${tensor}\\b`).test(gradient);
  const kernels = source.matchAll(/from "\.\.\/\.\.\/(kernels\/\w+\.ts)"/g);
  return {
    name,
    signature: op.params.map((param) =>
      op.tensors.includes(param) ? `${param}: ${dtypes(name, param, source)}` : param
    ).join(", "),
    file,
    summary: /^.{12,}?(?<!\beq)[.:](?= |$)/.exec(summary)?.[0].replace(/:$/, ".") ?? summary,
    differentiable: op.tensors.filter((tensor) => !constant(tensor)),
    kernels: [...new Set([...kernels].map(([, path]) => path))],
    tests: [...tests].filter(([, text]) => used.test(text))
      .map(([file]) => file).sort(),
  };
}

/** What an op's check of a tensor allows; where it checks that it is a tensor and no more, all of them. */
function dtypes(op: string, param: string, source: string): string {
  const checks = /expect(DType|Float)\(\s*[`"](.*?)[`"],\s*\w+(?:,([^)]*))?\)/g;
  for (const [, check, name, types = ""] of source.matchAll(checks)) {
    const [where, what = ""] = name.split(": ");
    const ofOp = where === op || where.startsWith("${"), ofParam = what === param;
    // In a loop over several, such as `layerNorm: ${name}`.
    if (!ofOp || !(ofParam || (where === op && what.includes("${")))) continue;
    return check === "Float" ? "f32 or f16" : types.match(/\w+/g)!.join(" or ");
  }
  return source.includes("expectTensor(") ? "any" : "f32";
}

/** The page. */
export async function renderPage(rows: readonly OpRow[]): Promise<string> {
  const link = (path: string) => `[${basename(path)}](../${path})`;
  const runs = (tests: readonly string[]) => {
    const both = tests.filter((file) => !file.endsWith("_deno_test.ts"));
    return [tests.length > 0, both.length > 0].map((tested) => tested ? "yes" : "untested");
  };
  const lines = rows.map((op) => {
    const flows = op.differentiable.length > 0 ? op.differentiable.join(", ") : "none";
    const cells = [
      `[\`${op.name}\`](../${op.file})`,
      `\`${op.signature}\``,
      escape(op.summary),
      flows,
      ...runs(op.tests),
      op.kernels.map(link).join(" ") || "of other ops, or none",
    ];
    return `| ${cells.join(" | ")} |`;
  });
  return await formatted(`# The ops

Made by \`deno task ops\` from \`engine/ops/\` and \`tests/engine/\`. Tensors have their dtypes beside them (f16 needs an
adapter with \`shader-f16\`). *Backward*: the inputs that a gradient flows to; the rules are
in [gradients.md](gradients.md). *Deno*, *Chrome*: whether a file of tests that runs there is about it.

| op | arguments | forward | backward | Deno | Chrome | kernels |
| -- | --------- | ------- | -------- | ---- | ------ | ------- |
${lines.join("\n")}
`);
}

if (import.meta.main) {
  await runMain("ops", async () => {
    const rows = await opRows();
    await writeFileAtomic(`${PROJECT_ROOT}${PAGE}`, await renderPage(rows));
    console.log(`${PAGE}: ${rows.length} ops`);
  });
}
