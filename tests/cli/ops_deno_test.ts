/** The table of ops: complete, as new as the ops, and every op is tested in both runtimes. */
import { opRows, PAGE, renderPage } from "../../cli/ops.ts";
import { PROJECT_ROOT } from "../../cli/system.ts";
import { assert, assertEquals, denoTest } from "../harness.ts";

denoTest(
  "docs/ops.md is what `deno task ops` writes now, and no op in it is untested",
  async () => {
    const rows = await opRows();
    const page = await renderPage(rows);
    assertEquals(await Deno.readTextFile(`${PROJECT_ROOT}${PAGE}`), page, "run deno task ops");
    const untested = rows.filter(({ tests }) =>
      !tests.some((file) => !file.endsWith("_deno_test.ts"))
    );
    assertEquals(untested.map(({ name }) => name), []);
  },
);

denoTest("the table of ops tells dtypes and gradients as the sources do", async () => {
  const row = new Map((await opRows()).map((op) => [op.name, op]));
  assertEquals(row.get("accuracy")!.signature, "logits: f32 or f16, labels: i32 or u32");
  assertEquals(row.get("softmax")!.signature, "x: f32 or f16, axis");
  assertEquals(row.get("accuracy")!.differentiable, []);
  assertEquals(row.get("crossEntropy")!.differentiable, ["logits"]);
  assertEquals(row.get("slice")!.signature, "x: any, axis, start, end");
  assertEquals(row.get("linear")!.differentiable, ["x", "weight", "bias"]);
  assertEquals(row.get("roiAlign")!.differentiable, ["maps"]);
  assert(row.get("softmax")!.kernels.includes("kernels/softmax_workgroup.ts"), "no kernel");
  assert(row.get("silu")!.tests.includes("elementwise_test.ts"), "no test");
});

denoTest("an op that no test is about is seen", async () => {
  const op = { name: "f", signature: "x: f32", file: "engine/ops/f.ts", summary: "Something." };
  const page = await renderPage([{ ...op, differentiable: ["x"], kernels: [], tests: [] }]);
  assert(/untested +\| untested/.test(page), page);
});
