// deno-lint-ignore-file no-import-prefix -- a full specifier lets mod.ts be imported by URL, with no import map
/**
 * The template tag every shader of wgrad is written with.
 *
 * `wgsl` returns a plain string and understands four directives, each followed by a template value:
 * `#if ${a}`, `#elif ${b}`, `#else`, `#endif`. All `${}` run, also those in branches that are left out. This wrapper
 * exists for one reason: the package names no entry point and ships no types.
 * @module
 */

// @ts-types="./wgsl_preprocessor.d.ts"
import { wgsl as preprocess } from "npm:wgsl-preprocessor@1.0.1/wgsl-preprocessor.js";

/** What may stand in a `${}` of a shader: text, a number, or the condition of an `#if`. */
export type WgslValue = string | number | boolean;

/** Builds WGSL from a template; conditions after `#if` and `#elif` must be booleans. */
export function wgsl(strings: TemplateStringsArray, ...values: WgslValue[]): string {
  return preprocess(strings, ...values);
}
