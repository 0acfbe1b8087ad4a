/**
 * Syntax highlighting of WGSL and TypeScript, line by line, in a light and a dark colour each.
 * @module
 */
import { createHighlighterCore } from "npm:shiki@4.6.0/core";
import { createJavaScriptRegexEngine } from "npm:shiki@4.6.0/engine/javascript";
import typescript from "npm:@shikijs/langs@4.6.0/typescript";
import wgsl from "npm:@shikijs/langs@4.6.0/wgsl";
import dark from "npm:@shikijs/themes@4.6.0/github-dark";
import light from "npm:@shikijs/themes@4.6.0/github-light";
import { Html, html } from "./html.ts";

/** Turns code into highlighted lines. */
export type Highlight = (code: string, lang: "wgsl" | "typescript") => Html[];

/** Loads grammars and colours. */
export async function loadHighlighter(): Promise<Highlight> {
  const highlighter = await createHighlighterCore({
    themes: [light, dark],
    langs: [wgsl, typescript],
    engine: createJavaScriptRegexEngine(),
  });
  return (code, lang) => {
    const lines = highlighter.codeToTokensWithThemes(code, {
      lang,
      themes: { light: "github-light", dark: "github-dark" },
    });
    return lines.map((tokens) =>
      html`${
        tokens.map(({ content, variants }) => {
          const { light, dark } = variants;
          return content.trim() === ""
            ? html`${content}`
            : html`<span style="--l:${light.color ?? ""};--d:${dark.color ?? ""}">${content}</span>`;
        })
      }`
    );
  };
}

/** Lines of code as a block; each may have a class. */
export function codeBlock(lines: readonly { line: Html; mark?: "added" | "removed" }[]): Html {
  // lines are blocks of their own, so no line break stands between them
  return html`<pre class="code" tabindex="0"><code>${
    lines.map(({ line, mark }) =>
      html`<span class="${mark ? `line ${mark}` : "line"}">${line.text === "" ? new Html(" ") : line}</span>`
    )
  }</code></pre>`;
}
