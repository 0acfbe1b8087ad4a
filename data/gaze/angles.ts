/**
 * Gaze vectors and angles (coordinate system: `vectors.ts`), over flat arrays of any number of them.
 *
 * Angles  yaw = atan2(x, -z), pitch = asin(y / |v|); back: (cos p sin y, sin p, -cos p cos y). As in the authors'
 *         evaluation, tools/calculate_mae_gaze360.py.
 * @module
 */
import { ShapeError } from "../../engine/errors.ts";

const DEGREES = 180 / Math.PI;

/**
 * [yaw, pitch] in radians of each vector: [N, 3] -> [N, 2].
 * @throws {ShapeError} the length is no multiple of 3
 */
export function vectorsToAngles(vectors: ArrayLike<number>): Float64Array {
  const count = rows(vectors, 3, "vectorsToAngles");
  const angles = new Float64Array(2 * count);
  for (let i = 0; i < count; i++) {
    const x = vectors[3 * i], y = vectors[3 * i + 1], z = vectors[3 * i + 2];
    angles[2 * i] = Math.atan2(x, -z);
    angles[2 * i + 1] = Math.asin(clamp(y / Math.hypot(x, y, z)));
  }
  return angles;
}

/**
 * The unit vector of each [yaw, pitch] in radians: [N, 2] -> [N, 3].
 * @throws {ShapeError} the length is no multiple of 2
 */
export function anglesToVectors(angles: ArrayLike<number>): Float64Array {
  const count = rows(angles, 2, "anglesToVectors");
  const vectors = new Float64Array(3 * count);
  for (let i = 0; i < count; i++) {
    const yaw = angles[2 * i], pitch = angles[2 * i + 1];
    vectors[3 * i] = Math.cos(pitch) * Math.sin(yaw);
    vectors[3 * i + 1] = Math.sin(pitch);
    vectors[3 * i + 2] = -Math.cos(pitch) * Math.cos(yaw);
  }
  return vectors;
}

/**
 * The angle in degrees between each vector and its partner; lengths do not matter. The cosine is clamped, so two equal
 * vectors are 0 apart and not NaN; a zero vector gives NaN.
 * @throws {ShapeError} the lengths differ or are no multiple of 3
 */
export function angularErrors(got: ArrayLike<number>, want: ArrayLike<number>): Float64Array {
  const count = rows(got, 3, "angularErrors");
  if (got.length !== want.length) {
    throw new ShapeError(`angularErrors: ${got.length / 3} vectors against ${want.length / 3}`);
  }
  return Float64Array.from({ length: count }, (_, i) => {
    const a = [got[3 * i], got[3 * i + 1], got[3 * i + 2]];
    const b = [want[3 * i], want[3 * i + 1], want[3 * i + 2]];
    const product = a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    return DEGREES * Math.acos(clamp(product / (Math.hypot(...a) * Math.hypot(...b))));
  });
}

/** |yaw| in degrees of each vector, in [0, 180]. */
export function yawMagnitudes(vectors: ArrayLike<number>): Float64Array {
  const angles = vectorsToAngles(vectors);
  return Float64Array.from(
    { length: angles.length / 2 },
    (_, i) => DEGREES * Math.abs(angles[2 * i]),
  );
}

/** Into [-1, 1]; NaN stays NaN. */
function clamp(cosine: number): number {
  return Math.max(-1, Math.min(1, cosine));
}

function rows(values: ArrayLike<number>, width: number, what: string): number {
  if (values.length % width !== 0) {
    throw new ShapeError(`${what}: ${values.length} numbers are no rows of ${width}`);
  }
  return values.length / width;
}
