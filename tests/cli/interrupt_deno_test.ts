/** Ctrl-C as a program gets it: one press may arrive several times, a second one ends at once. */
import { PROJECT_ROOT } from "../../cli/system.ts";
import { assert, assertEquals, denoTest } from "../harness.ts";

/** Work that is saved when its input ends. */
const PROGRAM = `
  import { withInterrupt } from "${PROJECT_ROOT}cli/interrupt.ts";
  await withInterrupt(async (signal) => {
    console.log("ready");
    signal.addEventListener("abort", () => console.log("stopping"));
    await Deno.stdin.read(new Uint8Array(1));
  }, Number(Deno.args[0]));
  console.log("saved");`;

/** Presses Ctrl-C, and again once the program is stopping; then lets it finish its work. */
async function pressTwice(onePress: number): Promise<[code: number, text: string]> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/program.ts`, PROGRAM);
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", `${folder}/program.ts`, String(onePress)],
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    const until = async (word: string): Promise<void> => {
      while (!text.includes(word)) {
        const { done, value } = await reader.read();
        if (done) return;
        text += value;
      }
    };
    await until("ready");
    child.kill("SIGINT");
    await until("stopping");
    child.kill("SIGINT");
    if (onePress > 0) await child.stdin.close();
    await until("saved"); // or the end
    if (onePress === 0) await child.stdin.close();
    return [(await child.status).code, text];
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

denoTest("signals of one press let the work be saved", async () => {
  const [code, text] = await pressTwice(600_000);
  assertEquals(code, 0);
  assert(text.includes("saved"), text);
});

denoTest("a second press ends the program before its work is done", async () => {
  const [code, text] = await pressTwice(0);
  assertEquals(code, 130);
  assert(!text.includes("saved"), text);
});
