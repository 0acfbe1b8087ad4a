/**
 * The drawing pad: mouse, finger and pen, or the keyboard.
 * @module
 */
import type { Point, Stroke } from "./drawing.ts";

/** A key moves the pen by this share of the pad, with Shift by three times that. */
const KEY_STEP = 1 / 28;
/** Points closer than this to the one before are left out. */
const CLOSE = 0.008;
/** The line's thickness as a share of the pad. */
const THICKNESS = 0.075;

/** A pad on a canvas. */
export class Pad {
  #strokes: Point[][] = [];
  #pen: Point = [0.5, 0.3];
  /** A pointer draws, or the keyboard's pen is down. */
  #drawing: number | "keys" | null = null;

  /** Listens to a canvas; `told` is where the pen's place is said. */
  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly told: HTMLElement,
    private readonly onChange: (strokes: readonly Stroke[]) => void,
  ) {
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || typeof this.#drawing === "number") return;
      canvas.setPointerCapture(event.pointerId);
      this.#drawing = event.pointerId;
      this.#begin(this.#placeOf(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.pointerId !== this.#drawing) return;
      // A fast pen is at several places between two frames.
      const moves = event.getCoalescedEvents?.() ?? [];
      for (const move of moves.length > 0 ? moves : [event]) this.#extend(this.#placeOf(move));
    });
    for (const name of ["pointerup", "pointercancel"] as const) {
      canvas.addEventListener(name, ({ pointerId }) => {
        if (pointerId === this.#drawing) this.#drawing = null;
      });
    }
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("focus", () => this.#paint());
    canvas.addEventListener("blur", () => {
      if (this.#drawing === "keys") this.#drawing = null;
      this.#paint();
    });
    this.#paint();
  }

  /** Takes the last line back. */
  undo(): void {
    this.#drawing = null;
    this.#strokes.pop();
    this.#changed();
  }

  /** Takes all lines back. @param quiet without telling */
  clear(quiet = false): void {
    this.#drawing = null;
    this.#strokes = [];
    if (quiet) this.#paint();
    else this.#changed();
  }

  #placeOf({ clientX, clientY }: PointerEvent): Point {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    return [inside((clientX - left) / width), inside((clientY - top) / height)];
  }

  #begin(place: Point): void {
    this.#pen = place;
    this.#strokes.push([place]);
    this.#changed();
  }

  #extend(place: Point): void {
    const stroke = this.#strokes[this.#strokes.length - 1];
    const [x, y] = stroke[stroke.length - 1];
    if (Math.hypot(place[0] - x, place[1] - y) < CLOSE) return;
    this.#pen = place;
    stroke.push(place);
    this.#changed();
  }

  #key(event: KeyboardEvent): void {
    const moves: Record<string, Point> = {
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
      ArrowUp: [0, -1],
      ArrowDown: [0, 1],
    };
    const { key } = event;
    if (key in moves) {
      const step = KEY_STEP * (event.shiftKey ? 3 : 1);
      const [x, y] = this.#pen, [dx, dy] = moves[key];
      this.#pen = [inside(x + dx * step), inside(y + dy * step)];
      if (this.#drawing === "keys") this.#extend(this.#pen);
      else this.#paint();
    } else if (key === " ") {
      if (this.#drawing === "keys") this.#drawing = null;
      else {
        this.#drawing = "keys";
        this.#begin(this.#pen);
      }
      this.#paint();
    } else if (key === "Backspace") this.undo();
    else if (key === "Delete") this.clear();
    else return;
    event.preventDefault();
    const [column, row] = this.#pen.map((value) => 1 + Math.min(27, Math.floor(28 * value)));
    const pen = this.#drawing === "keys" ? "down: it draws" : "up";
    this.told.textContent = `The pen is ${pen}, in column ${column} and row ${row} of 28.`;
  }

  #changed(): void {
    this.#paint();
    this.onChange(this.#strokes);
  }

  #paint(): void {
    const { canvas } = this, { width, height } = canvas;
    const to = canvas.getContext("2d")!;
    to.fillStyle = "#000";
    to.fillRect(0, 0, width, height);
    to.strokeStyle = to.fillStyle = "#fff";
    to.lineWidth = THICKNESS * width;
    to.lineCap = to.lineJoin = "round";
    for (const stroke of this.#strokes) {
      to.beginPath();
      to.moveTo(stroke[0][0] * width, stroke[0][1] * height);
      for (const [x, y] of stroke) to.lineTo(x * width, y * height);
      to.stroke();
    }
    if (this.#strokes.length === 0) {
      to.fillStyle = "#777";
      to.font = `${0.07 * width}px system-ui, sans-serif`;
      to.textAlign = "center";
      to.fillText("draw here", width / 2, height / 2);
    }
    if (document.activeElement !== canvas) return;
    // Where the keyboard's pen is: filled while it draws.
    to.beginPath();
    to.arc(this.#pen[0] * width, this.#pen[1] * height, 0.03 * width, 0, 2 * Math.PI);
    to.lineWidth = 4;
    to.strokeStyle = to.fillStyle = "#ff9e5e";
    to.stroke();
    if (this.#drawing === "keys") to.fill();
  }
}

function inside(value: number): number {
  return Math.max(0, Math.min(1, value));
}
