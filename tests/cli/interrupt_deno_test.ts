/** Ctrl-C as a program gets it: one press may arrive several times, a second one ends at once. */
import { PROJECT_ROOT } from "../../cli/system.ts";
import { assert, assertEquals, denoTest } from "../harness.ts";

const program = `
  import { withInterrupt } from "${PROJECT_ROOT}cli/interrupt.ts";
  console.log("ready");
  await withInterrupt(async (signal) => {
    while (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, 5));
    await new Promise((resolve) => setTimeout(resolve, Number(Deno.args[0])));
  });
  console.log("saved");`;

/** Sends signals to a program whose work takes `work` ms to stop; `pauses` are the ms before each. */
async function press(work: number, pauses: readonly number[]): Promise<[number, string]> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/program.ts`, program);
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", `${folder}/program.ts`, String(work)],
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    let text = (await reader.read()).value ?? "";
    for (const pause of pauses) {
      await new Promise((resolve) => setTimeout(resolve, pause));
      child.kill("SIGINT");
    }
    for (let next = await reader.read(); !next.done; next = await reader.read()) text += next.value;
    return [(await child.status).code, text];
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

denoTest("one press that arrives three times lets the work be saved", async () => {
  const [code, text] = await press(400, [50, 5, 5]);
  assertEquals(code, 0);
  assert(text.includes("saved"), text);
});

denoTest("a second press ends the program before its work is done", async () => {
  const [code, text] = await press(60_000, [50, 700]);
  assertEquals(code, 130);
  assert(!text.includes("saved"), text);
});
