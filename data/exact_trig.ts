/**
 * Cosine and sine from + and * alone. `Math.cos` may differ in its last bit between engines, and a rotated image must
 * be the same in all of them.
 * @module
 */

/** [cos, sin] of an angle in degrees, each within 3e-16. */
export function cosSinDegrees(degrees: number): readonly [cos: number, sin: number] {
  const quarter = Math.round(degrees / 90);
  const x = (degrees - quarter * 90) * (3.141592653589793 / 180); // within [-pi/4, pi/4]
  let cosTerm = 1, sinTerm = x, cos = 1, sin = x;
  for (let i = 2; i < 20; i += 2) {
    cosTerm *= -x * x / (i * (i - 1));
    sinTerm *= -x * x / (i * (i + 1));
    cos += cosTerm;
    sin += sinTerm;
  }
  switch (((quarter % 4) + 4) % 4) {
    case 0:
      return [cos, sin];
    case 1:
      return [-sin, cos];
    case 2:
      return [-cos, -sin];
    default:
      return [sin, -cos];
  }
}
