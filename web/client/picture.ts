/**
 * The picture of a kernel: its inputs and outputs as grids of elements. Pointing at an output, or walking to it with the
 * arrow keys, shows the inputs it depends on, and what else its invocation and its workgroup write.
 * @module
 */
import type { Device } from "../../mod.ts";
import type { Binding, Kernel } from "../../kernels/kernel.ts";
import type { Example } from "../atlas/chapter.ts";
import { type Dependence, dependence } from "../atlas/dependence.ts";
import { inputsOf } from "../atlas/inputs.ts";
import { markOwners, type Owner, ownerOf } from "../atlas/ownership.ts";
import { element, svg } from "./dom.ts";
import { outputsOf } from "./execute.ts";

const CELL = 15, GAP = 12;

/** The grid of one binding. */
interface Grid {
  readonly binding: Binding;
  readonly shape: readonly number[];
  readonly cells: readonly SVGRectElement[];
  readonly drawing: SVGSVGElement;
}

/** Who writes each element of each output; null where nobody does. Unknown without a device. */
type Owners = ReadonlyMap<string, readonly (Owner | null)[]>;

/** Draws an example into `place`; owners follow when `device` has run the marked kernel. */
export async function drawPicture(
  place: HTMLElement,
  example: Example,
  device: Promise<Device | null>,
): Promise<void> {
  const { kernel } = example, { bindings } = kernel.program;
  const reads = bindings.filter(({ access }) => access === "read");
  const writes = bindings.filter(({ access }) => access !== "read");
  const grids = new Map(
    bindings.map((binding) => [binding.name, grid(binding, example.shapes[binding.name])]),
  );
  const told = element("p", { class: "told", "aria-live": "polite" });
  const figures = (list: readonly Binding[], title: string) =>
    element(
      "div",
      { class: "side" },
      element("h3", {}, title),
      ...list.map(({ name }) => {
        const { drawing, shape } = grids.get(name)!;
        const caption = element(
          "figcaption",
          {},
          element("code", {}, name),
          ` [${shape.join(", ")}]`,
        );
        return element("figure", {}, caption, drawing);
      }),
    );
  const sides = element("div", { class: "sides" }, figures(writes, "Writes"));
  if (reads.length > 0) sides.prepend(figures(reads, "Reads"));
  place.replaceChildren(sides, told);

  const dependent = dependence(example);
  let owners: Owners = new Map();
  const show = (name: string, i: number): void => {
    mark(grids, name, i, dependent, owners);
    told.textContent = tell(example, name, i, dependent, owners);
  };
  const clear = (): void => {
    unmark(grids);
    told.textContent = HINT;
  };
  for (const { name } of writes) listen(grids.get(name)!, (i) => show(name, i), clear);
  clear();

  const available = await device;
  if (available === null) return;
  owners = await findOwners(available, kernel, example);
  for (const [name, list] of owners) {
    grids.get(name)!.cells.forEach((cell, i) => {
      const owner = list[i];
      cell.classList.toggle("nobody", owner === null);
      if (owner !== null) cell.style.setProperty("--hue", String(47 * owner.workgroup % 360));
      cell.dataset.owner = owner === null ? "" : `${owner.workgroup}/${owner.invocation}`;
    });
  }
  place.dataset.owners = "known";
}

const HINT = "Point at an element that is written, or focus the grid and use the arrow keys.";

/** Runs the kernel with its stores marked. */
async function findOwners(device: Device, kernel: Kernel, example: Example): Promise<Owners> {
  const marked = markOwners(kernel), inputs = { ...inputsOf(example) };
  // outputs start as zeros: what is not written shows
  for (const { name, access } of kernel.program.bindings) {
    if (access !== "read") delete inputs[name];
  }
  const stored = await outputsOf(device, marked, inputs);
  return new Map(
    Object.entries(stored).map(([name, values]) => [
      name,
      Array.from(values, (value) => ownerOf(value, kernel.program)),
    ]),
  );
}

/** Rows and columns of a shape; matrices of higher dimensions stand below each other, a gap between. */
function layout(shape: readonly number[]): { rows: number; columns: number; panels: number } {
  const columns = shape.at(-1) ?? 1, rows = shape.at(-2) ?? 1;
  return { rows, columns, panels: shape.slice(0, -2).reduce((a, b) => a * b, 1) };
}

function grid(binding: Binding, shape: readonly number[]): Grid {
  const { rows, columns, panels } = layout(shape);
  const width = columns * CELL + 1, height = panels * rows * CELL + (panels - 1) * GAP + 1;
  const writable = binding.access !== "read";
  const drawing = svg("svg", {
    class: `grid ${writable ? "written" : "read"}`,
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
    role: "img",
    tabindex: writable ? 0 : null,
    "aria-label": `${binding.name}, ${shape.join(" by ")}`,
  });
  const cells = Array.from({ length: panels * rows * columns }, (_, i) => {
    const column = i % columns, row = Math.floor(i / columns) % rows;
    const panel = Math.floor(i / (rows * columns));
    return svg("rect", {
      x: column * CELL + 0.5,
      y: (panel * rows + row) * CELL + panel * GAP + 0.5,
      width: CELL,
      height: CELL,
      "data-i": i,
    });
  });
  drawing.append(...cells);
  return { binding, shape, cells, drawing };
}

/** Pointer and keys of a grid that is written. */
function listen(
  { drawing, cells, shape }: Grid,
  show: (i: number) => void,
  clear: () => void,
): void {
  const { columns } = layout(shape);
  let at = 0;
  const go = (i: number): void => {
    at = Math.max(0, Math.min(cells.length - 1, i));
    show(at);
  };
  drawing.addEventListener("pointerover", (event) => {
    const { i } = (event.target as SVGElement).dataset;
    if (i !== undefined) go(Number(i));
  });
  drawing.addEventListener("pointerleave", clear);
  drawing.addEventListener("focus", () => go(at));
  drawing.addEventListener("blur", clear);
  drawing.addEventListener("keydown", (event) => {
    const steps: Record<string, number> = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -columns,
      ArrowDown: columns,
    };
    if (!(event.key in steps)) return;
    event.preventDefault();
    go(at + steps[event.key]);
  });
}

const MARKS = ["here", "input", "invocation", "workgroup", "invocation-input"];

function unmark(grids: ReadonlyMap<string, Grid>): void {
  for (const { cells } of grids.values()) cells.forEach((cell) => cell.classList.remove(...MARKS));
}

/** Marks what element `i` of an output depends on and who shares its writer. */
function mark(
  grids: ReadonlyMap<string, Grid>,
  name: string,
  i: number,
  dependent: Dependence,
  owners: Owners,
): void {
  unmark(grids);
  const own = owners.get(name)?.[i] ?? null;
  if (own !== null) {
    for (const [output, list] of owners) {
      list.forEach((owner, k) => {
        if (owner === null || owner.workgroup !== own.workgroup) return;
        const { classList } = grids.get(output)!.cells[k];
        classList.add("workgroup");
        if (owner.invocation !== own.invocation) return;
        classList.add("invocation");
        for (const { binding, indices } of dependent.get(output)?.[k] ?? []) {
          for (const index of indices) {
            grids.get(binding)!.cells[index].classList.add("invocation-input");
          }
        }
      });
    }
  }
  for (const { binding, indices } of dependent.get(name)?.[i] ?? []) {
    for (const index of indices) grids.get(binding)!.cells[index].classList.add("input");
  }
  grids.get(name)!.cells[i].classList.add("here");
}

/** The same in words. */
function tell(
  { kernel, shapes }: Example,
  name: string,
  i: number,
  dependent: Dependence,
  owners: Owners,
): string {
  const inputs = (dependent.get(name)?.[i] ?? [])
    .map(({ binding, indices }) => `${indices.length} of ${binding}`);
  const owner = owners.get(name)?.[i];
  const { workgroupSize } = kernel.program;
  const writer = owner === undefined
    ? ""
    : owner === null
    ? " No invocation writes it."
    : ` Invocation ${owner.invocation} of ${workgroupSize} in workgroup ${owner.workgroup} writes it.`;
  const needs = inputs.length === 0 ? "depends on no input" : `depends on ${inputs.join(", ")}`;
  return `${name}[${position(shapes[name], i)}] ${needs}.${writer}`;
}

/** The index of element `i` in every dimension. */
function position(shape: readonly number[], i: number): string {
  const index: number[] = [];
  for (let d = shape.length - 1; d >= 0; d--) {
    index.unshift(i % shape[d]);
    i = Math.floor(i / shape[d]);
  }
  return index.join(", ");
}
