/** Checks recycled weights against their report. */
import type { RecycleReport } from "../../models/mod.ts";
import type { StateDict } from "../../nn/mod.ts";

/** Looks every value up in its source by the report alone, index by index. */
export function assertAsReported(
  { weights, report }: { weights: StateDict; report: RecycleReport },
  dense: StateDict,
  trunk?: StateDict,
): void {
  for (const { name, shape, source, from, selection, cuts = [] } of report.entries) {
    if (source === null) continue;
    const origin = (from === "trunk" ? trunk! : dense).get(source)!;
    const { data } = weights.get(name)!;
    const stacked = selection !== undefined;
    for (let flat = 0; flat < data.length; flat++) {
      let rest = flat;
      const at = shape.map((_, axis) => {
        const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
        const index = Math.trunc(rest / inner);
        rest %= inner;
        return index;
      });
      const expert = stacked ? at.shift()! : 0;
      const index = at.map((i, axis) => {
        const cut = cuts.find((cut) => cut.axis === axis);
        if (cut === undefined) return i;
        const { indices, total, subset } = report.selections[cut.selection];
        return total * Math.trunc(i / subset) +
          indices[indices.length === 1 ? 0 : expert][i % subset];
      });
      const position = index.reduce((sum, i, axis) => sum * origin.shape[axis] + i, 0);
      if (data[flat] !== origin.data[position]) {
        throw new Error(
          `${name}[${flat}] is ${data[flat]}, ${source} has ${origin.data[position]}`,
        );
      }
    }
  }
}
