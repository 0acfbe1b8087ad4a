/**
 * A table, its head first, as Markdown and as HTML.
 * @module
 */
import { escapeHtml } from "./html.ts";

/** As Markdown. */
export function markdownTable([head, ...rows]: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

/** As HTML. */
export function htmlTable([head, ...rows]: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[], tag: string): string =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join("")}</tr>`;
  return `<table>${[line(head, "th"), ...rows.map((row) => line(row, "td"))].join("\n")}</table>`;
}
