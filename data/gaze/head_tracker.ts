/**
 * Who is who from frame to frame, by overlap alone.
 *
 * Rule     All pairs of a known head and a new box, the one that overlaps most first: where the overlap (intersection
 *          over union) is at least 0.3 and neither is taken yet, they are one person. A box that is left is a new person.
 *          A person not found in more than 7 frames in a row is gone; who comes back then is a new one.
 * @module
 */
import type { Box } from "./clip_boxes.ts";

/** Settings of a `HeadTracker`. */
export interface TrackerOptions {
  /** Overlap from which a box is the same person's. Default 0.3. */
  readonly minOverlap?: number;
  /** Frames in a row that a person may be missing. Default 7. */
  readonly maxGap?: number;
}

interface Track {
  readonly person: number;
  box: Box;
  missing: number;
}

/** Intersection over union of two boxes, 0 to 1. */
export function overlap(a: Box, b: Box): number {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (!(width > 0 && height > 0)) return 0;
  const area = (box: Box): number => (box[2] - box[0]) * (box[3] - box[1]);
  return width * height / (area(a) + area(b) - width * height);
}

/** Gives the heads of a video the numbers of persons. */
export class HeadTracker {
  readonly #minOverlap: number;
  readonly #maxGap: number;
  #tracks: Track[] = [];
  #next = 0;

  /** A tracker that knows nobody yet. */
  constructor({ minOverlap = 0.3, maxGap = 7 }: TrackerOptions = {}) {
    this.#minOverlap = minOverlap;
    this.#maxGap = maxGap;
  }

  /** Persons that may still be found again. */
  get present(): readonly number[] {
    return this.#tracks.map(({ person }) => person);
  }

  /**
   * The next frame's heads.
   * @param known whose head it is where the caller knows; undefined: by overlap
   * @returns the person of each box
   */
  assign(boxes: readonly Box[], known: readonly (number | undefined)[] = []): number[] {
    const persons = boxes.map((_, i) => known[i]);
    const pairs = this.#tracks.flatMap((track) =>
      boxes.map((box, i) => ({ track, i, overlap: overlap(track.box, box) }))
    ).filter((pair) => pair.overlap >= this.#minOverlap).sort((a, b) => b.overlap - a.overlap);
    const taken = new Set(persons);
    for (const { track, i } of pairs) {
      if (persons[i] !== undefined || taken.has(track.person)) continue;
      persons[i] = track.person;
      taken.add(track.person);
    }
    const found = persons.map((person) => {
      const number = person ?? this.#next;
      this.#next = Math.max(this.#next, number + 1);
      return number;
    });
    const missing = this.#tracks.filter(({ person }) => !found.includes(person))
      .map((track) => ({ ...track, missing: track.missing + 1 }))
      .filter((track) => track.missing <= this.#maxGap);
    const seen = found.map((person, i) => ({ person, box: boxes[i], missing: 0 }));
    this.#tracks = [...missing, ...seen];
    return found;
  }

  /** Forgets everybody: what comes next shows others. */
  cut(): void {
    this.#tracks = [];
  }
}
