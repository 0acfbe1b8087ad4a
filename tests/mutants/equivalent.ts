/**
 * Mutants that no test can fail, because they compute the same: each with the reason.
 *
 * An entry is no excuse for a weak test: it holds only what is equal for every input that the kernel is given.
 * @module
 */
import type { Mutation } from "./mutation.ts";

/** A family of mutants that change nothing. */
export interface EquivalentMutants {
  /** Programs it is about; default all. */
  readonly label?: RegExp;
  /** The line before. */
  readonly line: RegExp;
  /** The line after. */
  readonly mutant: RegExp;
  /** Why nothing changes. */
  readonly reason: string;
}

/** All that are known. */
export const EQUIVALENT: readonly EquivalentMutants[] = [
  {
    label:
      /^(l1_loss|giou_loss|focal_loss|focal_loss\.flags|angle_loss|change_loss|batch_norm_fold\.backward)\[/,
    line: /workgroupBarrier\(\); \/\/ the scratch may be reused at once/,
    mutant: /^\s*\/\//,
    reason: "these kernels reduce once: the scratch is not used again",
  },
  {
    line: /for \(var stride = \d+u; stride > 0u; stride >>= 1u\)/,
    mutant: /stride >= 0u/,
    reason:
      "it does not end; llvmpipe ends any loop after 65,535 rounds, and rounds with a stride of 0 do nothing",
  },
  {
    line: /if \(t < stride\) \{/,
    mutant: /if \(t <= stride\) \{/,
    reason:
      "a race, but not a wrong sum where invocations run in order: scratch[stride] is written after invocation 0 has read it",
  },
  {
    line: /if \(t (== 0u\) \{ loss\[0\] = |> 0u\) \{ return; \})/,
    mutant: /^\s*$|if \(t != 0u\) \{ loss\[0\]/,
    reason: "every invocation has the sum, and all that write it write the same",
  },
  {
    label: /_loss[\w.]*\.backward\[plain\]/,
    line: / \* w \* gradient_of\(r\)/,
    mutant: /scale_of\(\) \* gradient_of\(r\)/,
    reason: "without weights w is 1",
  },
  {
    label: /^angle_loss/,
    line: /squared > 0\.0\)/,
    mutant: /squared >= 0\.0\)/,
    reason: "a vector of no length gives 0 / 1e-15, which is the 0 of the other branch",
  },
  {
    label: /^angle_loss/,
    line: /near > params\.clamp/,
    mutant: /near >= params\.clamp/,
    reason:
      "a tie of computed numbers, where the arccosine's clamp has no derivative: both answers are right",
  },
  {
    label: /^angle_loss/,
    line: /let behind = dot\(u, v\) < 0\.0;/,
    mutant: /dot\(u, v\) <= 0\.0/,
    reason: "at a right angle both forms give the same",
  },
  {
    label: /^conv2d\.(input|weight)_backward\[/,
    line: /store\(at \+ (first_column \+ tx \+ )?\d+u, bias_at \+ /,
    mutant: /store\(at \+ (first_column \+ tx \+ )?(\d+)u, bias_at(?! \+ \1\2u,)/,
    reason: "gradients have no bias: its index is not used",
  },
  {
    line: /abs\(x\) >= \w+\(3\.92\)/,
    mutant: /abs\(x\) > /,
    reason: "at 3.92 the quotient is the 1 of the other branch, to rounding",
  },
  {
    label: /^giou_loss/,
    line: /share\(vec2f\(a\.(both|whole)\), vec2f\(params\.eps\)\)\.x/,
    mutant: /vec2f\(params\.eps\)\)\.y/,
    reason: "both components are the same",
  },
  {
    label: /^max_pool\.backward\[/,
    line: /if \(row >= params\.height\) \{ continue; \}/,
    mutant: /row > params\.height/,
    reason: "only rows up to that of the pixel in question are looked at, and it is in the map",
  },
  {
    label: /^max_pool\.backward\[/,
    line: /for \(var i = 0u; i < params\.kernel; i\+\+\)/,
    mutant: /i <= params\.kernel/,
    reason:
      "the pixel in question is in the window: it is found, and the loop left, before its end",
  },
  {
    label: /^roi_align\[1 levels/,
    line: /let area = /,
    mutant: /let area = /,
    reason: "with one level nobody asks for the area",
  },
  {
    label: /^conv2d(\.input_backward)?\[(tiled|workgroup)/,
    line: /if \((row_begin|first_pixel) >= pixels\) \{ return; \}/,
    mutant: /^\s*\/\/|row_begin > pixels|first_pixel > pixels/,
    reason:
      "a tile beyond the last pixel is moved inward and stores nothing: leaving saves time only",
  },
  {
    label: /^conv2d\.input_backward\[(tiled|workgroup)/,
    line: /if \(own >= params\.(groups|tiles)\) \{ return; \}/,
    mutant: /own > params\.(groups|tiles)/,
    reason:
      "a class of pixels behind the last is part of the first: the same values are written twice",
  },
  {
    label: /^conv2d\[(tiled|workgroup)/,
    line: /for \(var k = 0u; k < params\.k; k \+= (4|16)u\)/,
    mutant: /k = 1u/,
    reason: "k counts in whole vectors: it is only used as k / 4",
  },
  {
    label: /^giou_loss/,
    line: /a\.around >= vec2f\(0\.0\)/,
    mutant: /a\.around > vec2f\(0\.0\)/,
    reason:
      "where the box around both has no width its area is below eps, and d_whole is 0 already",
  },
  {
    label: /^roi_align\.backward\[/,
    line: /return pixel > axis\.low - 1\.0 && pixel < axis\.high \+ 1\.0;/,
    mutant: /pixel >= axis\.low|pixel <= axis\.high/,
    reason: "a pixel that far away has a weight of 0: it is only left out sooner",
  },
  {
    label: /^focal_loss/,
    line: /let series = /,
    mutant: /0\.5 \/ 11\.0/,
    reason: "u^5 / 22 is at most 8e-7, within the rounding of the functions around it",
  },
  {
    label: /^roi_align\.backward\[/,
    line: /let other = first \+ f32\(params\.bins \* params\.samples - 1u\) \* apart;/,
    mutant: /params\.bins \* params\.samples\) \* apart/,
    reason: "pixels beyond the last sample have a weight of 0: they are only left out later",
  },
  {
    label: /^(conv2d|matmul|grouped_matmul)\[/,
    line:
      /return select\(\w+\(0\.0\), \w+\(1\.0\), x > |return s \* \(1\.0 \+ x \* \(1\.0 - s\)\)|return 0\.5 \* \(1\.0 \+ erf\(/,
    mutant: /return/,
    reason: "the derivative of an activation, which a forward program declares and does not call",
  },
  {
    label: /^conv2d\[/,
    line: /class_index [%\/] params\.step|shifted [%\/] params\.step|last - tap\) \/ params\.step/,
    mutant: /class_index [%\/*+-] params\.|axis_of\(class_index,|^\s*shifted,|last - tap\),/,
    reason: "forward there is one class, number 0, and a step of 1",
  },
  {
    label: /^conv2d\.input_backward\[/,
    line: /q \* params\.stride - /,
    mutant: /return q - /,
    reason: "in the gradient a class of pixels looks at neighbours: its stride is 1",
  },
  {
    label: /^roi_align\.backward\[/,
    line: / \+ 0u \* params\.channels/,
    mutant: /0u \* params\.\w+|0u\]/,
    reason: "0 times anything",
  },
];

/** The reason why a mutation changes nothing, if it is known to. */
export function equivalence(mutation: Mutation): string | undefined {
  return EQUIVALENT.find(({ label, line, mutant }) =>
    (label?.test(mutation.label) ?? true) && line.test(mutation.line) &&
    mutant.test(mutation.mutant)
  )?.reason;
}
