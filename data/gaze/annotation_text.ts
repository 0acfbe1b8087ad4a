/**
 * Writing the annotation file that `annotations.ts` reads, so that the authors' code can train on synthetic clips.
 * @module
 */
import { type AnnotatedVideo, KNOWN } from "./annotations.ts";

/** The text of an annotation file: three annotations a video, face, eyes and head in this order. */
export function annotationText(videos: readonly AnnotatedVideo[], description: string): string {
  return JSON.stringify({
    info: { description },
    categories: [{ supercategory: "object", id: 1, name: "person_face" }],
    videos: videos.map(({ id, height, width, files }) => (
      { id, height, width, length: files.length, file_names: files }
    )),
    annotations: videos.flatMap((video, i) =>
      [0, 1, 2].map((clue) => ({
        id: 3 * i + clue + 1,
        video_id: video.id,
        category_id: 1,
        height: video.height,
        width: video.width,
        length: 1,
        gaze: video.files.map((_, t) => [...video.gaze.subarray(3 * t, 3 * t + 3)]),
        bboxes: video.files.map((_, t) => boxOf(video, t, clue)),
      }))
    ),
  });
}

/** [x, y, w, h], or null where the box is not known. */
function boxOf({ boxes, known }: AnnotatedVideo, t: number, clue: number): number[] | null {
  if (known[t] === KNOWN.nothing || (known[t] === KNOWN.head && clue < 2)) return null;
  const [x1, y1, x2, y2] = boxes.subarray(12 * t + 4 * clue, 12 * t + 4 * clue + 4);
  return [x1, y1, x2 - x1, y2 - y1];
}
