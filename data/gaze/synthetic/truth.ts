/**
 * What is true of a scene: boxes, gaze and head pose, from its geometry.
 *
 * Boxes are those of projected points of the shapes. Head: skull, hair and ears, seen or hidden behind the head itself.
 * Face: from the eyebrows to the chin and from cheek to cheek. Eyes: the rims of the openings that face the camera, as
 * if no lid were shut and nothing before them. Face and eyes are known together or not at all, as in the authors' data:
 * where neither opening faces the camera, there is the head alone.
 * @module
 */
import { addScaled, dot, rotate, unit, unrotate, type Vec3, viewAxes } from "../vectors.ts";
import { enterEllipsoid } from "./ellipsoid.ts";
import { betweenEyes, type Scene } from "./scene.ts";

/** (left, top, right, bottom), in frames: 0 to 1 inside the picture. */
export type FrameBox = readonly [x1: number, y1: number, x2: number, y2: number];

/** The truth about a scene. */
export interface Truth {
  readonly head: FrameBox;
  /** Undefined where the face is turned away. */
  readonly face: FrameBox | undefined;
  readonly eyes: FrameBox | undefined;
  /** Unit vectors on the view axes of the point between the eyes (see `vectors.ts`): gaze, and where the head points. */
  readonly gaze: Vec3;
  readonly headPose: Vec3;
  /** Whether no eye can be seen: turned away, shut, covered or lost in blur. */
  readonly hidden: boolean;
}

/** An opening faces the camera when its direction is less than 80 degrees off. */
const FACES = 0.1736;
/** Places along a rim. */
const RIM_POINTS = 9;

/** The truth about a scene. */
export function truthOf(scene: Scene): Truth {
  const eyesAt = betweenEyes(scene);
  const view = viewAxes(eyesAt);
  const inView = (onHead: Vec3): Vec3 => unit(unrotate(view, rotate(scene.head, onHead)));
  const eyes = eyesBox(scene);
  return {
    head: headBox(scene),
    face: eyes && boxAround(scene, scene.person.facePoints),
    eyes,
    gaze: inView(scene.eyes.gaze),
    headPose: inView([0, 0, -1]),
    hidden: scene.lost || scene.eyes.open === 0 ||
      [1, -1].every((side) => !facesCamera(scene, side) || isCovered(scene, side)),
  };
}

/** The eyes' box with a margin around it: where a picture needs the most detail. */
export function eyesRegion(scene: Scene): FrameBox | undefined {
  const box = eyesBox(scene);
  if (box === undefined) return undefined;
  const margin = 0.02;
  return [box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin];
}

function eyesBox(scene: Scene): FrameBox | undefined {
  const { eyes, person: { subject } } = scene;
  const points = [1, -1].flatMap((side) =>
    facesCamera(scene, side) ? eyes.rim(side, subject, RIM_POINTS) : []
  );
  return points.length === 0 ? undefined : boxAround(scene, points);
}

function facesCamera({ eyes, head, headAt }: Scene, side: number): boolean {
  const at = addScaled(rotate(head, eyes.centreOn(side)), headAt, 1);
  return -dot(rotate(head, eyes.facing(side)), unit(at)) > FACES;
}

/** Whether the middle of an iris lies behind the cover. */
function isCovered({ cover, eyes, head, headAt }: Scene, side: number): boolean {
  if (cover === undefined) return false;
  const iris = addScaled(eyes.centreOn(side), eyes.gaze, eyes.radius);
  const at = addScaled(rotate(head, iris), headAt, 1);
  const [ox, oy, oz] = unrotate(cover.axes, [-cover.at[0], -cover.at[1], -cover.at[2]]);
  const [dx, dy, dz] = unrotate(cover.axes, at);
  return cover.parts.some((part) => enterEllipsoid({ ox, oy, oz, dx, dy, dz }, part) < 1);
}

function headBox(scene: Scene): FrameBox {
  const rims = [1, -1].flatMap((side) => scene.eyes.rim(side, scene.person.subject, RIM_POINTS));
  return boxAround(scene, [...scene.person.headPoints, ...rims]);
}

/** The box of points on head axes, as the camera sees them. */
function boxAround({ head, headAt, camera }: Scene, points: readonly Vec3[]): FrameBox {
  let x1 = Infinity, y1 = Infinity, x2 = -Infinity, y2 = -Infinity;
  for (const point of points) {
    const [px, py, pz] = addScaled(rotate(head, point), headAt, 1);
    const x = camera.cx - camera.f * px / pz, y = camera.cy - camera.f * py / pz;
    x1 = Math.min(x1, x);
    x2 = Math.max(x2, x);
    y1 = Math.min(y1, y);
    y2 = Math.max(y2, y);
  }
  return [x1, y1, x2, y2];
}
