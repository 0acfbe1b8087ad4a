/**
 * Runs ONNX files in ONNX Runtime, in a process of its own: its 290 MB stay out of the project's node_modules, as Deno takes
 * them into its cache (`--node-modules-dir=none`) when a test first asks.
 *
 *     deno run … tests/onnx/ort_process.ts VERSION JOBS       JOBS: a file of jobs as JSON; prints the answers as JSON
 * @module
 */
import type { OrtApi } from "../../bench/frameworks/ort.ts";
import type { Answer, Job } from "./ort.ts";

async function answer(ort: OrtApi, { file, dims, data }: Job): Promise<Answer> {
  try {
    const session = await ort.InferenceSession.create(await Deno.readFile(file), {
      executionProviders: ["cpu"],
      intraOpNumThreads: 1,
    });
    const images = new ort.Tensor("float32", Float32Array.from(data), dims);
    const outputs: Record<string, { dims: readonly number[]; data: number[] }> = {};
    for (const [name, tensor] of Object.entries(await session.run({ images }))) {
      outputs[name] = { dims: tensor.dims, data: [...await tensor.getData()] };
    }
    await session.release();
    return { outputs };
  } catch (error) {
    return { error: String(error) };
  }
}

const [version, jobs] = Deno.args;
const ort: OrtApi = (await import(`npm:onnxruntime-node@${version}`)).default;
const answers: Answer[] = [];
for (const job of JSON.parse(await Deno.readTextFile(jobs))) answers.push(await answer(ort, job));
console.log(JSON.stringify(answers));
