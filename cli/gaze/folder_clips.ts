/**
 * Training and test clips of a data folder laid out as the authors' (data/gaze/files.ts), decoded by sharp.
 * @module
 */
import { AnnotatedClips, type ClipSource, trainingClips } from "../../data/gaze/mod.ts";
import { openGazeFolder } from "../../data/gaze/files.ts";
import { decodePicture } from "./pictures.ts";

/** The clips of a folder. */
export interface FolderClips {
  /** One about every frame of `train.json` whose boxes are known. */
  readonly train: ClipSource;
  /** As many of those of `test.json`, evenly chosen. */
  readonly held: ClipSource;
}

/**
 * Opens a folder; frames are read when a clip is asked for.
 * @param most test clips
 * @throws {DataError} an annotation file is missing or wrong, or knows no box
 */
export async function folderClips(root: string, most: number): Promise<FolderClips> {
  const open = async (part: string, most: number): Promise<ClipSource> => {
    const { videos, read } = await openGazeFolder(
      root,
      part,
      (bytes) => decodePicture(bytes, "it"),
    );
    const all = trainingClips(videos), count = Math.min(most, all.length);
    const chosen = Array.from({ length: count }, (_, i) => all[Math.floor(i * all.length / count)]);
    return new AnnotatedClips(chosen, read);
  };
  return { train: await open("train", Infinity), held: await open("test", most) };
}
