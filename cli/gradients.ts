/**
 * `deno task gradients`: writes `docs/gradients.md`, one page with the gradient rule of every op. The rules stand in the
 * docstrings of the ops, beside the code that computes them; a test fails when the page is older than they are.
 * @module
 */
import { writeFileAtomic } from "../io/files.ts";
import { runMain } from "./main.ts";
import { PROJECT_ROOT, run } from "./system.ts";

/** An op as its docstring describes it. */
export interface OpDoc {
  readonly name: string;
  /** Names of all parameters. */
  readonly params: readonly string[];
  /** Those that are tensors, or lists of them. */
  readonly tensors: readonly string[];
  /** Where it is, relative to the project. */
  readonly file: string;
  /** What it computes: the docstring's first paragraph. */
  readonly summary: string;
  /** The rule; undefined where the docstring has none. */
  readonly gradient: string | undefined;
}

/** Where the page is, relative to the project. */
export const PAGE = "docs/gradients.md";

interface DocParam {
  readonly name?: string;
  readonly left?: { readonly name?: string };
  readonly tsType?: unknown;
}

interface DocSymbol {
  readonly name: string;
  readonly declarations: readonly {
    readonly kind: string;
    readonly location: { readonly filename: string };
    readonly jsDoc?: { readonly doc?: string };
    readonly def: { readonly params?: readonly DocParam[] };
  }[];
}

/** Reads the docstrings of all ops, in the order of their files. */
export async function readOps(): Promise<OpDoc[]> {
  const { code, stdout, stderr } = await run(
    [Deno.execPath(), "doc", "--json", "engine/ops/mod.ts"],
    { cwd: PROJECT_ROOT },
  );
  if (code !== 0) throw new Error(`deno doc failed: ${stderr}`);
  const [module] = Object.values<{ symbols: DocSymbol[] }>(JSON.parse(stdout).nodes);
  return module.symbols.flatMap(({ name, declarations: [declaration] }) =>
    declaration.kind === "function" ? [describe(name, declaration)] : []
  ).sort((a, b) => a.file === b.file ? 0 : a.file < b.file ? -1 : 1);
}

function describe(name: string, declaration: DocSymbol["declarations"][number]): OpDoc {
  const paragraphs = (declaration.jsDoc?.doc ?? "").split("\n\n");
  const params = (declaration.def.params ?? []).map((param) => ({
    name: param.name ?? param.left?.name ?? "options",
    tensor: JSON.stringify(param).includes('"typeName":"Tensor"'),
  }));
  return {
    name,
    params: params.map((param) => param.name),
    tensors: params.filter(({ tensor }) => tensor).map((param) => param.name),
    file: `engine/ops/${declaration.location.filename.split("/engine/ops/")[1]}`,
    summary: paragraphs[0].replaceAll("\n", " "),
    gradient: paragraphs.find((p) => p.startsWith("Gradient: "))?.slice("Gradient: ".length),
  };
}

/** The page. */
export async function renderPage(ops: readonly OpDoc[]): Promise<string> {
  const entries = ops.map(({ name, params, file, summary, gradient }) =>
    `## [${name}](../${file})(${params.join(", ")})\n\n${escape(summary)}\n\n` +
    "```text\n" + (gradient ?? "no rule is written down") + "\n```\n"
  );
  return await formatted(`# Gradients of the ops

Made by \`deno task gradients\` from the docstrings of \`engine/ops/\`. \`y\` is the result, \`dy\` the gradient of the
loss by it (\`dOut\` in the code), \`dx\` that by \`x\`. Where an operand was repeated to fit, its gradient is summed over
the copies. Each rule is compared with central differences of a plain loop in \`tests/engine/\`.

${entries.join("\n")}`);
}

/** Markdown as `deno fmt` wants it. */
export async function formatted(text: string): Promise<string> {
  const file = await Deno.makeTempFile({ suffix: ".md" });
  try {
    await Deno.writeTextFile(file, text);
    const command = [Deno.execPath(), "fmt", "--quiet", "--config", "deno.json", file];
    const { code, stderr } = await run(command, { cwd: PROJECT_ROOT });
    if (code !== 0) throw new Error(`deno fmt failed: ${stderr}`);
    return await Deno.readTextFile(file);
  } finally {
    await Deno.remove(file);
  }
}

/** Keeps Markdown from reading formulas as its own signs. */
export function escape(text: string): string {
  return text.split("`").map((part, i) =>
    i % 2 === 1 ? part : part.replace(/[*_<>[\]|\\]/g, "\\$&")
  )
    .join("`");
}

if (import.meta.main) {
  await runMain("gradients", async () => {
    const ops = await readOps();
    await writeFileAtomic(`${PROJECT_ROOT}${PAGE}`, await renderPage(ops));
    console.log(`${PAGE}: ${ops.length} ops`);
  });
}
