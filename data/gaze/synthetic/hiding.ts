/**
 * When the eyes of a clip cannot be seen: they blink, something passes before them, or the picture is blurred.
 * @module
 */
import type { Rng } from "../../random.ts";
import { between, chance, type Interval } from "./draws.ts";
import { CLIP_LENGTH, type Ranges } from "./ranges.ts";

/** What hides the eyes in one frame, and how much. */
export interface Hiding {
  /** 1 open, 0 shut. */
  readonly open: number;
  /** How far a cover is from before the eyes, centimetres; undefined where there is none. */
  readonly coverAway: number | undefined;
  /** Standard deviation of the blur, as a share of the frame; 0 where there is none. */
  readonly blur: number;
}

/** Frames from `first` to before `end`. */
interface Span {
  readonly first: number;
  readonly end: number;
}

/** How far a cover moves from one frame to the next while it comes and goes, and beyond which it is out of sight. */
const COVER_SPEED = 6, COVER_GONE = 26;
/** How open the eyes are in the frames beside a blink. */
const HALF_OPEN = 0.5;

/** Draws what hides the eyes in each frame. Every clip keeps at least two frames in which they are seen. */
export function drawHiding(rng: Rng, ranges: Ranges): Hiding[] {
  const blink = drawSpan(rng, ranges.blink, ranges.blinkFrames);
  const cover = drawSpan(rng, ranges.cover, ranges.coverFrames);
  const blur = drawSpan(rng, ranges.blur, ranges.blurFrames);
  const width = between(rng, ranges.blurWidth);
  const spans = [blink, cover, blur];
  while (framesSeen(spans) < 2) spans[spans.findIndex((span) => span !== undefined)] = undefined;
  return Array.from({ length: CLIP_LENGTH }, (_, t) => {
    const [shut, covered, blurred] = spans.map((span) => framesFrom(span, t));
    return {
      open: shut === 0 ? 0 : shut === 1 ? HALF_OPEN : 1,
      coverAway: covered * COVER_SPEED > COVER_GONE ? undefined : covered * COVER_SPEED,
      blur: blurred === 0 ? width : 0,
    };
  });
}

function drawSpan(rng: Rng, probability: number, length: Interval): Span | undefined {
  const happens = chance(rng, probability);
  const frames = length[0] + rng.integer(length[1] - length[0] + 1);
  const first = rng.integer(CLIP_LENGTH - frames + 1);
  return happens ? { first, end: first + frames } : undefined;
}

/** How many frames before or after a span t is: 0 within, Infinity where there is no span. */
function framesFrom(span: Span | undefined, t: number): number {
  if (span === undefined) return Infinity;
  return Math.max(0, span.first - t, t - span.end + 1);
}

function framesSeen(spans: readonly (Span | undefined)[]): number {
  let seen = 0;
  for (let t = 0; t < CLIP_LENGTH; t++) {
    if (spans.every((span) => framesFrom(span, t) > 0)) seen++;
  }
  return seen;
}
