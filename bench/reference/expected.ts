/**
 * Expected results of a workload, by its equations on the float64 tape.
 * @module
 */
import type { HostTensors } from "../host_tensor.ts";
import { CHECKED_LOSSES, type Expected, type TrainingWork, type Workload } from "../workload.ts";
import { Tape, type Value } from "./tape.ts";

/** What every framework must compute, by the output's name. */
export function expectedResults(workload: Workload): Record<string, Expected> {
  if (workload.reference) return workload.reference();
  const work = workload.work();
  if (work.kind === "training") return { loss: { values: losses(work) } };
  const tape = new Tape();
  const wanted = work.kind === "gradient" ? work.wrt : [];
  const inputs = values(tape, { ...work.inputs, ...work.weights }, wanted);
  const outputs = work.compute(tape, inputs);
  const results = Object.entries(outputs).map(([name, { data }]) => [name, { values: data }]);
  if (work.kind === "gradient") {
    tape.backward(outputs.y, work.dOut.data);
    for (const name of wanted) results.push([`d ${name}`, { values: inputs[name].grad! }]);
  }
  return Object.fromEntries(results);
}

function values(tape: Tape, tensors: HostTensors, wanted: readonly string[]) {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, x]) => [name, tape.input(x, wanted.includes(name))]),
  );
}

/** The losses of the first steps, with AdamW (arXiv:1711.05101) between them. */
function losses({ inputs, weights, compute, optimizer }: TrainingWork): number[] {
  const { lr, weightDecay, beta1, beta2, eps } = optimizer;
  const names = Object.keys(weights);
  const parameters = names.map((name) => Float64Array.from(weights[name].data));
  const m = parameters.map((p) => new Float64Array(p.length));
  const v = parameters.map((p) => new Float64Array(p.length));
  const result: number[] = [];
  for (let step = 1; step <= CHECKED_LOSSES; step++) {
    const last = step === CHECKED_LOSSES;
    const tape = new Tape();
    const x: Record<string, Value> = values(tape, { ...inputs, ...weights }, last ? [] : names);
    names.forEach((name, i) => x[name].data.set(parameters[i]));
    const { loss } = compute(tape, x);
    result.push(loss.data[0]);
    if (last) break;
    tape.backward(loss, [1]);
    names.forEach((name, i) => {
      const p = parameters[i], g = x[name].grad ?? new Float64Array(p.length);
      for (let j = 0; j < p.length; j++) {
        m[i][j] = beta1 * m[i][j] + (1 - beta1) * g[j];
        v[i][j] = beta2 * v[i][j] + (1 - beta2) * g[j] ** 2;
        const root = Math.sqrt(v[i][j] / (1 - beta2 ** step)) + eps;
        p[j] -= lr * (weightDecay * p[j] + m[i][j] / (1 - beta1 ** step) / root);
      }
    });
  }
  return result;
}
