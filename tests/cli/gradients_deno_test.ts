/** The page of gradient rules: complete, and as new as the ops. */
import { PAGE, readOps, renderPage } from "../../cli/gradients.ts";
import { PROJECT_ROOT } from "../../cli/system.ts";
import { assert, assertEquals, denoTest } from "../harness.ts";

denoTest(
  "every op says in its docstring what its gradient is, for each of its tensors",
  async () => {
    const ops = await readOps();
    assert(ops.length >= 45, `only ${ops.length} ops were found`);
    for (const { name, file, tensors, gradient } of ops) {
      assert(gradient !== undefined, `${file}: ${name} has no line "Gradient: …" in its docstring`);
      for (const tensor of tensors) {
        // `dx = …`, `dqkv = …`, or `none for labels`.
        const told = new RegExp(`\\bd${tensor}\\b|none for (the )?${tensor}\\b`, "i").test(
          gradient,
        );
        assert(told, `${file}: the rule of ${name} does not say what the gradient of ${tensor} is`);
      }
    }
  },
);

denoTest("docs/gradients.md is what `deno task gradients` writes now", async () => {
  const committed = await Deno.readTextFile(`${PROJECT_ROOT}${PAGE}`);
  assertEquals(committed, await renderPage(await readOps()), "run deno task gradients");
});

denoTest("a rule that is missing is seen", async () => {
  const page = await renderPage([{
    name: "f",
    params: ["x"],
    tensors: ["x"],
    file: "engine/ops/f.ts",
    summary: "Something like |x| * 2.",
    gradient: undefined,
  }]);
  assert(page.includes("## [f](../engine/ops/f.ts)(x)\n\nSomething like \\|x\\| \\* 2."), page);
  assert(page.includes("no rule is written down"), page);
});
