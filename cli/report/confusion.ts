/**
 * A table of what a classifier mistakes for what.
 * @module
 */
import { escapeHtml } from "./html.ts";

/**
 * Draws counts [true class][answer]; darker is a larger share of the row.
 * @param tone the colour
 * @param names the classes' names; default their numbers
 */
export function confusionTable(
  caption: string,
  tone: "a" | "b",
  counts: readonly (readonly number[])[],
  names: readonly string[] = counts.map((_, i) => String(i)),
): string {
  const head = names.map((name) => `<th>${escapeHtml(name)}</th>`).join("");
  const rows = counts.map((line, truth) => {
    const total = Math.max(1, line.reduce((a, b) => a + b, 0));
    const cells = line.map((count, answer) => {
      const share = count / total;
      const ink = share > 0.55 ? "var(--page)" : "var(--ink)";
      const title = escapeHtml(`${names[truth]} taken for ${names[answer]}: ${count}`);
      return `<td title="${title}" style="color:${ink};background:` +
        `color-mix(in srgb, var(--${tone}) ${Math.round(100 * share)}%, var(--card))">${
          count || ""
        }</td>`;
    });
    return `<tr><th>${escapeHtml(names[truth])}</th>${cells.join("")}</tr>`;
  });
  return `<div class="scroll"><table class="matrix"><caption class="${tone}" style="text-align:left">${
    escapeHtml(caption)
  }</caption>
<tr><th></th>${head}</tr>
${rows.join("\n")}</table></div>`;
}
