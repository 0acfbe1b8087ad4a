/**
 * ONNX Runtime for the tests.
 * @module
 */
import { peerVersion } from "../../bench/peers/versions.ts";
import { PROJECT_ROOT, run } from "../../cli/system.ts";

/** A file to run, and what its input `images` is. */
export interface Job {
  readonly file: string;
  readonly dims: readonly number[];
  readonly data: readonly number[];
}

/** Outputs by name. */
export type Outputs = Readonly<
  Record<string, { readonly dims: readonly number[]; readonly data: readonly number[] }>
>;

/** What became of a job. */
export type Answer = { readonly outputs: Outputs } | { readonly error: string };

/** An ONNX file in memory, and what its input is. */
export interface ModelJob {
  readonly bytes: Uint8Array;
  readonly dims: readonly number[];
  readonly data: Float32Array;
}

/** What ONNX Runtime computes of each. @throws {Error} with its complaint, when it refuses one */
export async function runInOnnxRuntime(models: readonly ModelJob[]): Promise<Outputs[]> {
  const folder = await Deno.makeTempDir();
  try {
    const jobs: Job[] = [];
    for (const [i, { bytes, dims, data }] of models.entries()) {
      const file = `${folder}/${i}.onnx`;
      await Deno.writeFile(file, bytes);
      jobs.push({ file, dims, data: [...data] });
    }
    await Deno.writeTextFile(`${folder}/jobs.json`, JSON.stringify(jobs));
    const flags = ["--allow-all", "--quiet", "--no-lock", "--node-modules-dir=none"];
    const { code, stdout, stderr } = await run([
      ...[Deno.execPath(), "run", ...flags, "tests/onnx/ort_process.ts"],
      ...[peerVersion("onnxruntime-node"), `${folder}/jobs.json`],
    ], { cwd: PROJECT_ROOT, env: { NO_COLOR: "1" } });
    if (code !== 0) throw new Error(`ONNX Runtime did not run: ${stdout}${stderr}`);
    return (JSON.parse(stdout) as Answer[]).map((answer, i) => {
      if ("error" in answer) throw new Error(`model ${i}: ${answer.error}`);
      return answer.outputs;
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
