/**
 * The version of this package, for what is kept on a machine from one run to the next.
 * @module
 */

/** As in deno.json; a test compares them. */
export const VERSION = "0.1.0";
