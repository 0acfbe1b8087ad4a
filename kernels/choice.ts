/**
 * Calls that several variants could serve: which they are, and which of them was measured to be the fastest on an adapter.
 *
 * A family's selection function knows a default for every call. `Target.choices` may name another variant; a name that
 * is none of the call's variants, as an older program's file may have it, counts as none. So whatever is in that map, the
 * result is right, and at worst slow.
 * @module
 */
import type { Kernel } from "./kernel.ts";

/** Names of variants by the key of a call. */
export type Choices = ReadonlyMap<string, string>;

/** A variant of a call. */
export interface Candidate {
  /** Names it among the call's variants, such as `tiled 16x16, 2 splits`. */
  readonly name: string;
  /** Its launches, in order. */
  readonly kernels: readonly Kernel[];
}

/** A call that several variants could serve. */
export interface Choice {
  /** Names the call: family, sizes and what else decides, such as `matmul 1x64x64x3136 aT`. */
  readonly key: string;
  /** All variants that suit it. */
  readonly candidates: readonly Candidate[];
  /** Name of the one that is taken where nothing is known. */
  readonly standard: string;
}

/** The variant that is remembered for a call, if it is one of those that suit it. */
export function remembered<V>(
  choices: Choices | undefined,
  key: () => string,
  variants: () => readonly V[],
  nameOf: (variant: V) => string,
): V | undefined {
  if (choices === undefined || choices.size === 0) return undefined;
  const name = choices.get(key());
  return name === undefined ? undefined : variants().find((variant) => nameOf(variant) === name);
}

/** Variants without those whose name came before. */
export function different<V>(variants: readonly V[], nameOf: (variant: V) => string): V[] {
  const names = variants.map(nameOf);
  return variants.filter((_, i) => names.indexOf(names[i]) === i);
}

/** The name of a variant that covers its result by tiles. */
export function tileName(
  kind: string,
  tile: { readonly tm: number; readonly tn: number } | number,
  splits: number,
): string {
  const side = typeof tile === "number" ? `${tile}` : `${tile.tm}x${tile.tn}`;
  return `${kind} ${side}${splits === 1 ? "" : `, ${splits} splits`}`;
}
