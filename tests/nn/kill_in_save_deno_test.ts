/**
 * Processes that are killed while they save: the file is a whole checkpoint at any moment, and training goes on from it
 * as if nothing had been.
 */
import type { Device } from "../../engine/mod.ts";
import { Rng } from "../../engine/random/host_rng.ts";
import { loadCheckpointFile } from "../../io/files.ts";
import { assert, assertEquals, gpuTest } from "../harness.ts";
import { trainInFile } from "./run_files.ts";
import { STEPS } from "./small_run.ts";

const CHILD = new URL("./kill_child.ts", import.meta.url).pathname;

/** Runs a test in a folder of its own. */
async function inFolder(fn: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "wgrad_kill_" });
  try {
    await fn(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A child process and the lines it says. */
class Child implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #reader: ReadableStreamDefaultReader<string>;
  #rest = "";

  constructor(...args: string[]) {
    this.#process = new Deno.Command(Deno.execPath(), {
      args: ["run", "--allow-all", "--no-check", CHILD, ...args],
      stdout: "piped",
      stderr: "null",
    }).spawn();
    this.#reader = this.#process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** The next line, or null at the end. */
  async line(): Promise<string | null> {
    while (true) {
      const end = this.#rest.indexOf("\n");
      if (end >= 0) {
        const line = this.#rest.slice(0, end);
        this.#rest = this.#rest.slice(end + 1);
        return line;
      }
      const { value, done } = await this.#reader.read();
      if (done) return null;
      this.#rest += value;
    }
  }

  /** Kills it in the midst of what it does; returns the last thing it said. */
  async kill(): Promise<string | null> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has just ended by itself.
    }
    let last: string | null = null;
    for (let line = await this.line(); line !== null; line = await this.line()) last = line;
    await this.#process.status;
    return last;
  }

  /** Ends it if it still runs. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await this.#reader.cancel();
  }
}

const wait = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Trains undisturbed and keeps the file of each step; the losses. */
async function reference(device: Device, folder: string) {
  const path = `${folder}/reference.safetensors`;
  const files: string[] = [];
  const losses = await trainInFile(device, path, async ({ step }) => {
    files.push(`${folder}/step_${step}.safetensors`);
    await Deno.copyFile(path, files.at(-1)!);
  });
  return { files, losses };
}

gpuTest(
  "killed fifty times while it saves: always a whole checkpoint, which training resumes from bit for bit",
  (device) =>
    inFolder(async (folder) => {
      const { files, losses } = await reference(device, folder);
      const wholes = await Promise.all(files.map((file) => Deno.readFile(file)));
      const stepOf = (bytes: Uint8Array): number =>
        wholes.findIndex((whole) =>
          whole.length === bytes.length && whole.every((b, i) => b === bytes[i])
        );
      const found = new Set<number>();
      let cut = 0;
      const lane = async (name: string, kills: number): Promise<void> => {
        const random = new Rng(3, name);
        await Deno.mkdir(`${folder}/${name}`);
        const path = `${folder}/${name}/run.safetensors`;
        for (let i = 0; i < kills; i++) {
          await using child = new Child("copy", path, ...files);
          assertEquals(await child.line(), "begin");
          let said = await child.line();
          await wait(40 * random.uniform());
          said = await child.kill() ?? said;
          const at = stepOf(await Deno.readFile(path));
          assert(
            at === Number(said) || at === (Number(said) + 1) % STEPS,
            `${said} was saved, ${at} is there`,
          );
          const previous = `${path}.prev`;
          if (await Deno.stat(previous).catch(() => null)) {
            assert(stepOf(await Deno.readFile(previous)) >= 0, "the one before is not whole");
          }
          found.add(at);
          const left = [...Deno.readDirSync(`${folder}/${name}`)].filter((e) =>
            /\.tmp/.test(e.name)
          );
          assert(left.length <= 2, "later saves did not remove what the kills left");
          cut += Math.min(1, left.length);
        }
      };
      await Promise.all([lane("one", 25), lane("two", 25)]);
      assert(cut >= 10, `only ${cut} of 50 kills hit in a save`);
      // Each goes on in its own file.
      for (const step of found) assertEquals(await trainInFile(device, files[step]), losses);
    }),
  { timeout: 300 }, // fifty processes
);

gpuTest(
  "a training process that is killed again and again ends with the curve of one that is not",
  (device) =>
    inFolder(async (folder) => {
      const { files, losses } = await reference(device, folder);
      const path = `${folder}/run.safetensors`;
      const random = new Rng(4, "kills");
      let kills = 0, ended = false;
      while (!ended) {
        await using child = new Child("train", path);
        assertEquals(await child.line(), "begin");
        const saves = 1 + random.integer(2);
        for (let i = 0; i < saves && !ended; i++) ended = await child.line() === null;
        if (ended) break;
        await wait(20 * random.uniform());
        await child.kill();
        kills++;
        const { state, tensors } = await loadCheckpointFile(path);
        const want = await loadCheckpointFile(files[state.step - 1]);
        assertEquals([...tensors], [...want.tensors]);
        // This device fills memory with NaN, so it has a kernel more.
        assertEquals({ ...state, kernelVariants: {} }, { ...want.state, kernelVariants: {} });
      }
      assert(kills >= 3, `only ${kills} kills`);
      const { state } = await loadCheckpointFile(path);
      assertEquals(state.step, STEPS);
      assertEquals((state.extra!.history as unknown as { losses: number[] }).losses, losses);
    }),
);
