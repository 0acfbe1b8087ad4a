/**
 * Which inputs an output depends on, found from the kernel's own plain loop: every input element is changed in turn, to
 * NaN and to another number, and the outputs that change are written down. NaN shows what is read but cancels or is
 * multiplied by zero; the other number shows what goes through comparisons, which swallow NaN.
 * @module
 */
import type { Values } from "../../kernels/kernel.ts";
import type { Example } from "./chapter.ts";
import { inputsOf, isWhole } from "./inputs.ts";

/** A NaN, seen as a whole number. */
const NAN_BITS = 0x7fc00000;

/** Elements of a binding. */
export interface Elements {
  readonly binding: string;
  readonly indices: readonly number[];
}

/** For each output binding, for each element: the input elements it depends on. */
export type Dependence = ReadonlyMap<string, readonly (readonly Elements[])[]>;

/** Finds what each output element of a small example depends on. */
export function dependence(example: Example): Dependence {
  const { kernel } = example, { reference } = kernel;
  if (reference === undefined) throw new Error(`${kernel.program.name} has no plain loop`);
  const { program: { bindings }, sizes } = kernel, inputs = inputsOf(example);
  // outputs that leave a choice look at what was written: nothing
  const got = Object.fromEntries(bindings.map(({ name }) => [name, new Float64Array(sizes[name])]));
  const whole = new Set(bindings.filter(isWhole).map(({ name }) => name));
  const expected = reference(inputs, got);
  const outputs = bindings.filter(({ access }) => access !== "read");
  const found = new Map(
    outputs.map(({ name }) => [
      name,
      Array.from({ length: sizes[name] }, () => new Map<string, number[]>()),
    ]),
  );
  for (const [binding, values] of Object.entries(inputs)) {
    const changed = Float64Array.from(values);
    for (let i = 0; i < changed.length; i++) {
      const touched = new Map([...found.keys()].map((name) => [name, new Set<number>()]));
      for (const value of [whole.has(binding) ? NAN_BITS : NaN, values[i] + 1]) {
        changed[i] = value;
        note(expected, reference({ ...inputs, [binding]: changed }, got), touched);
      }
      changed[i] = values[i];
      for (const [name, elements] of touched) {
        for (const k of elements) {
          const own = found.get(name)![k];
          own.set(binding, [...own.get(binding) ?? [], i]);
        }
      }
    }
  }
  return new Map(
    [...found].map(([name, elements]) => [
      name,
      elements.map((own) => [...own].map(([binding, indices]) => ({ binding, indices }))),
    ]),
  );
}

/** Adds the elements that differ, of each output, to `touched`. */
function note(expected: Values, got: Values, touched: ReadonlyMap<string, Set<number>>): void {
  for (const [name, elements] of touched) {
    for (let k = 0; k < expected[name].length; k++) {
      if (!Object.is(expected[name][k], got[name][k])) elements.add(k);
    }
  }
}
