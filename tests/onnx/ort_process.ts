/**
 * Runs ONNX files in ONNX Runtime for a test, which would otherwise need its 290 MB in the project's node_modules: started
 * with `--node-modules-dir=none`, Deno fetches it into its cache when a test first wants it.
 *
 * Reads jobs from standard input, one JSON a line: the file, and the input's values and sizes. Answers each with a line: the
 * outputs with their sizes, or what ONNX Runtime complained about.
 * @module
 */
import { createInterface } from "node:readline";
import type { OrtApi } from "../../bench/frameworks/ort.ts";

/** What is asked. */
export interface Job {
  readonly file: string;
  readonly images: { readonly dims: readonly number[]; readonly data: readonly number[] };
}

/** What is answered. */
export type Answer =
  | { readonly outputs: Readonly<Record<string, { dims: readonly number[]; data: number[] }>> }
  | { readonly error: string };

async function answer(ort: OrtApi, { file, images }: Job): Promise<Answer> {
  try {
    const session = await ort.InferenceSession.create(await Deno.readFile(file), {
      executionProviders: ["cpu"],
      graphOptimizationLevel: "all",
      intraOpNumThreads: 1,
      logSeverityLevel: 2,
    });
    const data = Float32Array.from(images.data);
    const results = await session.run({
      images: new ort.Tensor("float32", data, images.dims),
    });
    const outputs: Record<string, { dims: readonly number[]; data: number[] }> = {};
    for (const [name, tensor] of Object.entries(results)) {
      outputs[name] = { dims: tensor.dims, data: [...await tensor.getData()] };
    }
    await session.release();
    return { outputs };
  } catch (error) {
    return { error: String(error) };
  }
}

if (import.meta.main) {
  const [version] = Deno.args;
  const ort: OrtApi = (await import(`npm:onnxruntime-node@${version}`)).default;
  for await (const line of createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await answer(ort, JSON.parse(line))));
  }
}
