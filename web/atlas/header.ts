/**
 * Reads what a kernel file says about itself: the comment it begins with, in sections (`Math`, `Shapes`, `Work`, `Memory`).
 * @module
 */

/** A labelled part of a header. */
export interface HeaderSection {
  readonly label: string;
  /** Its lines, with the indentation they have among each other. */
  readonly text: string;
}

/** A header. */
export interface Header {
  /** What stands before the first label. */
  readonly intro: string;
  readonly sections: readonly HeaderSection[];
}

/** Parses the comment that `source` begins with. @throws {Error} when there is none */
export function readHeader(source: string): Header {
  const comment = /^\/\*\*\n([\s\S]*?)\n? \*\//.exec(source)?.[1];
  if (comment === undefined) throw new Error("the file does not begin with a comment");
  const intro: string[] = [], sections: { label: string; lines: string[] }[] = [];
  for (const line of comment.split("\n").map((line) => line.replace(/^ \* ?/, ""))) {
    if (line.startsWith("@module")) break;
    const label = /^([A-Z][a-z]+)(?= {2})|^Measured\b/.exec(line)?.[0];
    if (label !== undefined) {
      sections.push({ label, lines: [line.replace(label, " ".repeat(label.length))] });
    } else if (sections.length > 0 && /^( |$)/.test(line)) sections.at(-1)!.lines.push(line);
    else intro.push(line);
  }
  return {
    intro: intro.join("\n").trim(),
    sections: sections.map(({ label, lines }) => ({ label, text: dedent(lines) })),
  };
}

/** Lines without the indentation they share, and without empty ones at either end. */
function dedent(lines: readonly string[]): string {
  const widths = lines.filter((line) => line.trim() !== "").map((line) => line.search(/\S/));
  const width = Math.min(...widths);
  return lines.map((line) => line.slice(width)).join("\n").replace(/^\n+|\s+$/g, "");
}
