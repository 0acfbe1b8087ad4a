/**
 * HTML as a template tag: what is put in is escaped, unless it is HTML already.
 * @module
 */

/** Text that is HTML. */
export class Html {
  constructor(readonly text: string) {}
  toString(): string {
    return this.text;
  }
}

type Part = string | number | Html | null | readonly Part[];

/** Makes HTML of a template; strings are escaped, lists joined, null is nothing. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return new Html(
    strings.map((text, i) => text + (i < parts.length ? escape(parts[i]) : "")).join(""),
  );
}

function escape(part: Part): string {
  if (part === null) return "";
  if (part instanceof Html) return part.text;
  if (typeof part === "object") return part.map(escape).join("");
  const entities: Record<string, string> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
  };
  return String(part).replace(/[&<>"]/g, (c) => entities[c]);
}
