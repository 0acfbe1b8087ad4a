/**
 * Names picked by a pattern with `*` (any text) and `?` (any one character).
 * @module
 */

/** A test for names that match one of some patterns, each of which may be a list separated by commas. */
export function matcher(patterns: readonly string[]): (name: string) => boolean {
  const expressions = patterns.flatMap((pattern) => pattern.split(","))
    .map((pattern) => pattern.trim()).filter((pattern) => pattern !== "")
    .map((pattern) => {
      const literal = pattern.replace(/[.+^${}()|[\]\\]/g, "\\$&");
      return new RegExp(`^${literal.replaceAll("*", ".*").replaceAll("?", ".")}$`);
    });
  return (name) => expressions.some((expression) => expression.test(name));
}
