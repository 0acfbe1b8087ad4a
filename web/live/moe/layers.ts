/**
 * The mixture layers as pictures: the image's patches as a grid, and for each expert two maps over it, what feeds it
 * (dispatch) and where its answer goes (combine). One expert or one patch of a layer is looked at: that of the latest
 * pointer or focus; new answers keep it.
 * @module
 */
import type { LayerRouting } from "../../../cli/routing/routing.ts";
import { element, svg } from "../../client/dom.ts";
import { percent } from "./answer.ts";

/** Most experts of a kind that are shown; of more, those whose strongest patch is strongest. */
const SHOWN = 24;
/** Side of a patch in the grid's own units. */
const CELL = 20;
/** Red, green, blue of the two kinds of maps; on light and on dark. */
const DISPATCH = [232, 98, 32], COMBINE = [58, 130, 246];

/** What is looked at. */
type Mark = { readonly expert: number } | { readonly patch: number } | null;

/** An expert's button; which expert it shows depends on the image where there are more than are shown. */
interface Tile {
  readonly button: HTMLButtonElement;
  readonly dispatch: HTMLCanvasElement;
  readonly combine: HTMLCanvasElement;
  readonly name: HTMLElement;
  expert: number;
}

/** A mixture layer on the page. */
export class LayerView {
  /** To be put on the page. */
  readonly section: HTMLElement;
  readonly #title = element("h3");
  readonly #told = element("p", { class: "told", "aria-live": "polite" }, HINT);
  readonly #picture = svg("image", { preserveAspectRatio: "none", x: 0, y: 0 });
  readonly #grid: SVGSVGElement;
  readonly #cells: SVGRectElement[];
  readonly #tiles: Tile[];
  readonly #rows: number;
  readonly #columns: number;
  #routing: LayerRouting;
  #mark: Mark = null;
  #patch = 0;

  /** A view of a layer of `routing`'s sizes on an image of `rows` times `columns` patches. */
  constructor(routing: LayerRouting, [rows, columns]: readonly [number, number]) {
    this.#routing = routing;
    this.#rows = rows;
    this.#columns = columns;
    const width = columns * CELL, height = rows * CELL;
    this.#cells = Array.from({ length: rows * columns }, (_, n) =>
      svg("rect", {
        x: n % columns * CELL,
        y: Math.floor(n / columns) * CELL,
        width: CELL,
        height: CELL,
        "data-patch": n,
      }));
    this.#grid = svg("svg", {
      class: "patches",
      viewBox: `-1 -1 ${width + 2} ${height + 2}`,
      tabindex: 0,
      role: "img",
      "aria-label": `${rows} by ${columns} patches: arrow keys move between them`,
    });
    this.#picture.setAttribute("width", String(width));
    this.#picture.setAttribute("height", String(height));
    this.#grid.append(this.#picture, ...this.#cells);
    this.#tiles = shownExperts(routing).map((expert) => tile(expert, rows, columns));
    this.#tiles.forEach(({ button }, i) => button.tabIndex = i === 0 ? 0 : -1);
    const tiles = element("div", {
      class: "tiles",
      role: "toolbar",
      "aria-label": `Experts of ${routing.layer}`,
    }, ...this.#tiles.map(({ button }) => button));
    this.section = element(
      "section",
      { class: "layer", "data-layer": routing.layer },
      this.#title,
      element("div", { class: "maps" }, this.#grid, this.#told, tiles),
    );
    this.#listenToPatches();
    this.#listenToTiles(tiles);
  }

  /** Whether a layer of this size can be shown without a new view. */
  fits(routing: LayerRouting, [rows, columns]: readonly [number, number]): boolean {
    const { layer, coreExperts, dispatch } = this.#routing;
    return layer === routing.layer && coreExperts === routing.coreExperts &&
      dispatch.length === routing.dispatch.length && rows === this.#rows &&
      columns === this.#columns;
  }

  /** Shows the way of another image. @param picture the image as an address */
  update(routing: LayerRouting, picture: string): void {
    this.#routing = routing;
    const { coreExperts, dispatch, combine } = routing, univ = dispatch.length - coreExperts;
    this.#title.textContent = `Block ${1 + Number(/\d+/.exec(routing.layer))}: ${
      univ > 0 ? `${coreExperts} core and ${univ} universal experts` : `${coreExperts} experts`
    }`;
    this.#picture.setAttribute("href", picture);
    this.section.style.setProperty("--picture", `url(${picture})`);
    const top = Math.max(1e-9, ...combine.flat());
    const experts = shownExperts(routing);
    for (const [i, shown] of this.#tiles.entries()) {
      const e = shown.expert = experts[i], core = e < coreExperts;
      shown.button.classList.toggle("core", core);
      shown.button.dataset.expert = String(e);
      shown.name.textContent = core ? `core ${e + 1}` : `univ ${e - coreExperts + 1}`;
      heat(shown.dispatch, dispatch[e], Math.max(...dispatch[e]), DISPATCH);
      heat(shown.combine, combine[e], top, COMBINE);
    }
    this.#show(this.#mark);
  }

  #listenToPatches(): void {
    const go = (n: number): void => {
      this.#patch = Math.max(0, Math.min(this.#cells.length - 1, n));
      this.#look({ patch: this.#patch });
    };
    // Not pointerover: that comes too when the page scrolls to what the keyboard focused, under a pointer at rest.
    for (const name of ["pointermove", "pointerdown"] as const) {
      this.#grid.addEventListener(name, ({ target }) => {
        const { patch } = (target as SVGElement).dataset;
        if (patch !== undefined) go(Number(patch));
      });
    }
    this.#grid.addEventListener("focus", () => go(this.#patch));
    this.#grid.addEventListener("keydown", (event) => {
      const steps: Record<string, number> = {
        ArrowLeft: -1,
        ArrowRight: 1,
        ArrowUp: -this.#columns,
        ArrowDown: this.#columns,
      };
      if (!(event.key in steps)) return;
      event.preventDefault();
      go(this.#patch + steps[event.key]);
    });
  }

  #listenToTiles(tiles: HTMLElement): void {
    const at = (target: EventTarget | null): number =>
      this.#tiles.findIndex(({ button }) => target instanceof Node && button.contains(target));
    for (const name of ["pointermove", "focusin", "click"] as const) {
      tiles.addEventListener(name, ({ target }) => {
        const i = at(target);
        if (i >= 0) this.#look({ expert: this.#tiles[i].expert });
      });
    }
    // One of them is in the tab order; arrows move between them.
    tiles.addEventListener("keydown", (event) => {
      const steps: Record<string, number> = {
        ArrowLeft: -1,
        ArrowUp: -1,
        ArrowRight: 1,
        ArrowDown: 1,
      };
      const i = at(event.target);
      if (i < 0 || !(event.key in steps)) return;
      event.preventDefault();
      const count = this.#tiles.length, next = (i + steps[event.key] + count) % count;
      this.#tiles[i].button.tabIndex = -1;
      this.#tiles[next].button.tabIndex = 0;
      this.#tiles[next].button.focus();
    });
  }

  #look(mark: Exclude<Mark, null>): void {
    if (JSON.stringify(mark) !== JSON.stringify(this.#mark)) this.#show(mark);
  }

  #show(mark: Mark): void {
    this.#mark = mark;
    const { dispatch, combine } = this.#routing;
    const expert = mark !== null && "expert" in mark ? mark.expert : null;
    const patch = mark !== null && "patch" in mark ? mark.patch : null;
    const strongest = expert === null ? 1 : Math.max(1e-9, ...dispatch[expert]);
    this.#cells.forEach((cell, n) => {
      const weight = expert === null ? 0 : dispatch[expert][n];
      cell.style.fillOpacity = (0.85 * weight / strongest).toFixed(3);
      cell.classList.toggle("here", n === patch);
      if (expert === null) delete cell.dataset.weight;
      else cell.dataset.weight = String(weight);
    });
    const most = patch === null ? 1 : Math.max(1e-9, ...combine.map((row) => row[patch]));
    for (const { button, expert: e } of this.#tiles) {
      const share = patch === null ? 0 : combine[e][patch];
      button.classList.toggle("here", e === expert);
      button.style.setProperty("--share", (share / most).toFixed(3));
      if (patch === null) delete button.dataset.share;
      else button.dataset.share = String(share);
    }
    this.#told.textContent = expert !== null
      ? `${nameOf(this.#routing, expert)} ${this.#reads(expert)}; ${this.#answers(expert)}.`
      : patch !== null
      ? this.#goes(patch)
      : HINT;
  }

  #reads(expert: number): string {
    const weights = this.#routing.dispatch[expert];
    const best = largest(weights, 3).map((n) => `${this.#placeOf(n)} (${percent(weights[n])})`);
    return `reads most from ${best.join(", ")}`;
  }

  #answers(expert: number): string {
    const reached = this.#routing.combine[expert].filter((weight) => weight > 0).length;
    return `its answer goes to ${reached} of ${this.#cells.length} patches`;
  }

  /** Which experts a patch feeds, and which answer it. */
  #goes(patch: number): string {
    const { dispatch, combine } = this.#routing;
    const list = (weights: readonly (readonly number[])[]): string => {
      const column = weights.map((row) => row[patch]);
      return largest(column, 3).filter((e) => column[e] > 0)
        .map((e) => `${nameOf(this.#routing, e)} (${percent(column[e])})`).join(", ");
    };
    const none = combine.filter((row) => row[patch] === 0).length;
    return `The patch in ${this.#placeOf(patch)} weighs most in what is read by ${
      list(dispatch)
    }. ` +
      `Its answer comes from ${
        list(combine)
      }; ${none} of ${combine.length} experts give exactly nothing.`;
  }

  #placeOf(patch: number): string {
    return `row ${1 + Math.floor(patch / this.#columns)}, column ${1 + patch % this.#columns}`;
  }
}

const HINT = "Point at an expert or a patch.";

function tile(expert: number, rows: number, columns: number): Tile {
  const map = (kind: string) =>
    element("canvas", { class: `map ${kind}`, width: columns, height: rows });
  const dispatch = map("dispatch"), combine = map("combine");
  const name = element("span", { class: "name" });
  const button = element(
    "button",
    { type: "button", class: "expert" },
    dispatch,
    combine,
    name,
    element("i", { class: "share" }),
  );
  return { button, dispatch, combine, name, expert };
}

/** The experts to show, in order. */
function shownExperts({ coreExperts, dispatch }: LayerRouting): number[] {
  const pick = (from: number, to: number): number[] =>
    Array.from({ length: to - from }, (_, i) => from + i)
      .map((e) => ({ e, top: Math.max(...dispatch[e]) }))
      .sort((a, b) => b.top - a.top).slice(0, SHOWN).map(({ e }) => e).sort((a, b) => a - b);
  return [...pick(0, coreExperts), ...pick(coreExperts, dispatch.length)];
}

function nameOf({ coreExperts }: LayerRouting, e: number): string {
  return e < coreExperts ? `core expert ${e + 1}` : `universal expert ${e - coreExperts + 1}`;
}

function largest(values: readonly number[], count: number): number[] {
  return Array.from(values.keys()).sort((a, b) => values[b] - values[a]).slice(0, count);
}

/** A pixel a patch: the colour, as opaque as the weight is large; the picture below shines through. */
function heat(
  canvas: HTMLCanvasElement,
  weights: readonly number[],
  scale: number,
  [r, g, b]: readonly number[],
): void {
  const pixels = new ImageData(canvas.width, canvas.height);
  weights.forEach((weight, n) => {
    pixels.data.set([r, g, b, scale > 0 ? Math.round(255 * weight / scale) : 0], 4 * n);
  });
  canvas.getContext("2d")!.putImageData(pixels, 0, 0);
}
