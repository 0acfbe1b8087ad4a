/**
 * The arms of the ablation: what each one's model lacks. All else is the same for all.
 * @module
 */
import { MCGAZE_PRESETS, type McGazeOptions } from "../../models/mod.ts";

/** The arms, in the order of the tables. */
export const ARMS = ["head", "single", "full"] as const;

/** The name of an arm. */
export type ArmName = typeof ARMS[number];

/** The arms as in tables. */
export const ARM_TITLES: Readonly<Record<ArmName, string>> = {
  head: "head only, over time",
  single: "face, eyes and head, frame by frame",
  full: "face, eyes and head, over time",
};

const LACKS: Readonly<Record<ArmName, McGazeOptions>> = {
  head: { clues: ["head"] },
  single: { temporal: false },
  full: {},
};

/** The small preset for frames of `size` pixels. */
function smallModel(size: number): McGazeOptions {
  const small = MCGAZE_PRESETS.mcgaze_small;
  const scale = size / small.imageSize!; // the same levels are read, whatever the frame
  return { ...small, imageSize: size, finestScale: scale * small.finestScale! };
}

/**
 * The settings of an arm's model for frames of `size` pixels. As the authors', its backbone is trained already, and stem and
 * first group stay as they are.
 */
export function modelOptions(arm: ArmName, size: number): McGazeOptions {
  const small = smallModel(size);
  return { ...small, backbone: { ...small.backbone, frozenStages: 1 }, ...LACKS[arm] };
}

/** The settings of the model that is trained before the arms: on single frames, all of it learned. */
export function pretrainModel(size: number): McGazeOptions {
  return { ...smallModel(size), ...LACKS.single };
}
