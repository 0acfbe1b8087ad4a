import { assert, assertClose, assertEquals, assertThrows, test } from "../../harness.ts";
import {
  anglesToVectors,
  angularErrors,
  vectorsToAngles,
  yawMagnitudes,
} from "../../../data/gaze/angles.ts";
import {
  compose,
  cross,
  dot,
  headRotation,
  lookAlong,
  norm,
  rotate,
  type Rotation,
  unit,
  unrotate,
  type Vec3,
  viewAxes,
} from "../../../data/gaze/vectors.ts";
import { Rng } from "../../../data/random.ts";
import { ShapeError } from "../../../engine/errors.ts";

const rng = new Rng(5, "test/vectors");
const randomVector = (): Vec3 => [rng.normal(), rng.normal(), rng.normal()];
const randomAngle = (): number => 360 * rng.uniform() - 180;

/** Right-handed axes of length 1 at right angles. */
function assertRotation(rotation: Rotation): void {
  const products = rotation.flatMap((a) => rotation.map((b) => dot(a, b)));
  assertClose(products, [1, 0, 0, 0, 1, 0, 0, 0, 1], { atol: 1e-14 });
  assertClose(cross(rotation[0], rotation[1]), rotation[2], { atol: 1e-14 });
}

test("lookAlong(): 0 looks into the camera, yaw turns to the left of the picture, pitch up", () => {
  assertEquals(lookAlong(0, 0).map((v) => v + 0), [0, 0, -1]);
  assertClose(lookAlong(90, 0), [1, 0, 0], { atol: 1e-15 });
  assertClose(lookAlong(0, 90), [0, 1, 0], { atol: 1e-15 });
  assertClose(lookAlong(180, 0), [0, 0, 1], { atol: 1e-15 });
});

test("headRotation() turns -z to where the head looks, and leans it to the left by roll", () => {
  for (let i = 0; i < 20; i++) {
    const yaw = randomAngle(), pitch = randomAngle() / 2.1, roll = randomAngle();
    const rotation = headRotation(yaw, pitch, roll);
    assertRotation(rotation);
    assertClose(rotate(rotation, [0, 0, -1]), lookAlong(yaw, pitch), { atol: 1e-14 });
  }
  assertClose(rotate(headRotation(0, 0, 90), [0, 1, 0]), [1, 0, 0], { atol: 1e-15 });
});

test("unrotate() undoes rotate(), and compose() is one after the other", () => {
  const outer = headRotation(30, 20, 10), inner = headRotation(-70, 5, -40), v = randomVector();
  assertClose(unrotate(outer, rotate(outer, v)), v, { atol: 1e-14 });
  assertClose(rotate(compose(outer, inner), v), rotate(outer, rotate(inner, v)), { atol: 1e-14 });
});

test("viewAxes(): z runs to the eyes, x is level; who looks into the camera has (0, 0, -1)", () => {
  for (const eyes of [[0, 0, 60], [25, -12, 80], [-40, 9, 45]] as const) {
    const axes = viewAxes(eyes);
    assertRotation(axes);
    assertEquals(axes[0][1], 0);
    const toCamera = unit([-eyes[0], -eyes[1], -eyes[2]]);
    assertClose(unrotate(axes, toCamera), [0, 0, -1], { atol: 1e-15 });
  }
});

test("vectorsToAngles() and anglesToVectors() undo each other, and agree with lookAlong()", () => {
  const vectors = Array.from({ length: 50 }, randomVector);
  const units = vectors.flatMap((v) => [...unit(v)]);
  assertClose(anglesToVectors(vectorsToAngles(vectors.flat())), units, { atol: 1e-14 });
  const [yaw, pitch] = vectorsToAngles(lookAlong(-137, 40));
  assertClose([yaw, pitch], [-137 * Math.PI / 180, 40 * Math.PI / 180], { atol: 1e-14 });
  assertClose(yawMagnitudes(lookAlong(-137, 40)), [137], { atol: 1e-12 });
});

test("angularErrors() gives the angle between vectors of any length; equal ones are 0 apart, not NaN", () => {
  const equal = Array.from({ length: 300 }, randomVector);
  const scaled = equal.flatMap((v) => v.map((x) => x / norm(v) * 1.0000001));
  const errors = angularErrors(scaled, equal.flat());
  assert(errors.every((error) => error >= 0 && error < 2e-6), `${Math.max(...errors)}`);
  assertClose(angularErrors([0, 0, -2, 1, 0, 0], [0, 0, 5, 1, 1, 0]), [180, 45], { atol: 1e-12 });
  const a = lookAlong(10, 0), b = lookAlong(-13, 0);
  assertClose(angularErrors(a, b), [23], { atol: 1e-12 });
});

test("angles refuse what is no list of vectors", () => {
  assertThrows(() => vectorsToAngles([1, 2]), ShapeError, "2 numbers are no rows of 3");
  assertThrows(() => anglesToVectors([1]), ShapeError, "rows of 2");
  assertThrows(
    () => angularErrors([0, 0, 1], [0, 0, 1, 0, 0, 1]),
    ShapeError,
    "1 vectors against 2",
  );
});
