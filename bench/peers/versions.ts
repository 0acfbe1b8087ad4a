/**
 * The pinned versions, from the one place where they stand.
 * @module
 */
import config from "./deno.json" with { type: "json" };

/** Version of a package in `bench/peers/deno.json`. */
export function peerVersion(name: keyof typeof config.imports): string {
  return config.imports[name].slice(`npm:${name}@`.length);
}
