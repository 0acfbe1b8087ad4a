import { CATALOGUE } from "../../kernels/catalogue.ts";
import { PROJECT_ROOT } from "../../cli/system.ts";
import { assert, assertEquals, denoTest } from "../harness.ts";

/** The parts of `deno doc --json` that are looked at. */
interface Documentation {
  nodes: Record<string, {
    symbols: { name: string; declarations: { kind: string; def?: { returnType?: unknown } }[] }[];
  }>;
}

/** Make other forms of any kernel; half_test.ts and texels_deno_test.ts run those of the whole catalogue. */
const FORMS = ["half.inHalf", "texels.inTexels", "texels.throughTexels"];

/** Launch functions of `kernels/*.ts` as `family.function`: those whose return type tells of a `Kernel`. */
async function launchFunctions(): Promise<string[]> {
  const files: string[] = [];
  for await (const { name } of Deno.readDir(`${PROJECT_ROOT}/kernels`)) {
    if (/^[a-z0-9_]+\.ts$/.test(name) && name !== "mod.ts") files.push(`kernels/${name}`);
  }
  const { stdout, code } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", ...files],
    cwd: PROJECT_ROOT,
    stderr: "inherit",
  }).output();
  assertEquals(code, 0);
  const { nodes }: Documentation = JSON.parse(new TextDecoder().decode(stdout));
  const found: string[] = [];
  for (const [file, { symbols }] of Object.entries(nodes)) {
    const family = /\/kernels\/(\w+)\.ts$/.exec(file)?.[1];
    for (const { name, declarations } of symbols) {
      const returned = JSON.stringify(
        declarations.map((d) => d.kind === "function" && d.def?.returnType),
      );
      if (/"repr":"(Kernel|\w+Plan)"/.test(returned)) found.push(`${family}.${name}`);
    }
  }
  return found.sort();
}

denoTest("the catalogue holds every launch function of the kernels", async () => {
  const functions = await launchFunctions();
  assert(functions.includes("fill.fill") && functions.length > 50, `found ${functions}`);
  const catalogued = CATALOGUE.map(({ family, launch }) => `${family}.${launch}`);
  const missing = functions.filter((name) => !catalogued.includes(name) && !FORMS.includes(name));
  assertEquals(missing.join(", "), "", "missing in kernels/catalogue");
  const gone = catalogued.filter((name, i) =>
    !functions.includes(name) || catalogued.indexOf(name) !== i
  );
  assertEquals(gone.join(", "), "", "named wrongly or twice in kernels/catalogue");
});
