/**
 * Gaze data for MCGaze: synthetic clips, annotated data sets, batches of clips, and the evaluation. Everything here also
 * runs in a browser; reading and writing folders is in `data/gaze/files.ts`.
 * @module
 */
export { headRotation, lookAlong, type Rotation, type Vec3, viewAxes } from "./vectors.ts";
export * from "./angles.ts";
export * from "./smoothing.ts";
export * from "./evaluation.ts";
export * from "./baselines.ts";
export * from "./clip.ts";
export * from "./cached_clips.ts";
export * from "./stills.ts";
export * from "./clip_transforms.ts";
export * from "./clip_loader.ts";
export * from "./windows.ts";
export * from "./annotations.ts";
export * from "./annotation_text.ts";
export * from "./annotated_clips.ts";
export type { Interval } from "./synthetic/draws.ts";
export * from "./synthetic/ranges.ts";
export * from "./synthetic/synthetic_clips.ts";
export { type ClipView, HEAD_VIEW } from "./synthetic/view.ts";
export type { Box } from "./clip_boxes.ts";
export * from "./head_boxes.ts";
export * from "./head_tracker.ts";
export * from "./clip_slider.ts";
export * from "./head_crop.ts";
export * from "./gaze_follower.ts";
export * from "./overlay.ts";
