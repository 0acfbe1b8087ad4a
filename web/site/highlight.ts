/**
 * Syntax highlighting of WGSL and TypeScript, line by line, in a light and a dark colour each.
 * @module
 */
import { createHighlighterCore } from "shiki/core";
import { createJavaScriptRegexEngine } from "shiki/engine/javascript";
import typescript from "@shikijs/langs/typescript";
import wgsl from "@shikijs/langs/wgsl";
import dark from "@shikijs/themes/github-dark";
import light from "@shikijs/themes/github-light";
import { Html, html } from "./html.ts";

/** Turns code into highlighted lines, and knows the colours it used. */
export interface Highlight {
  (code: string, lang: "wgsl" | "typescript"): Html[];
  /** The style sheet of the classes that lines use. */
  css(): string;
}

/** Loads grammars and colours. */
export async function loadHighlighter(): Promise<Highlight> {
  const highlighter = await createHighlighterCore({
    themes: [light, dark],
    langs: [wgsl, typescript],
    engine: createJavaScriptRegexEngine(),
  });
  const classes = new Map<string, string>();
  const classOf = (light: string, dark: string): string => {
    const key = `--l:${light};--d:${dark}`;
    if (!classes.has(key)) classes.set(key, `c${classes.size}`);
    return classes.get(key)!;
  };
  const highlight = (code: string, lang: "wgsl" | "typescript"): Html[] => {
    const lines = highlighter.codeToTokensWithThemes(code, {
      lang,
      themes: { light: "github-light", dark: "github-dark" },
    });
    return lines.map((tokens) =>
      html`${
        tokens.map(({ content, variants: { light, dark } }) =>
          content.trim() === ""
            ? html`${content}`
            : html`<i class="${classOf(light.color ?? "", dark.color ?? "")}">${content}</i>`
        )
      }`
    );
  };
  const css = () => [...classes].map(([colours, name]) => `.${name}{${colours}}`).join("\n");
  return Object.assign(highlight, { css });
}

/** Lines of code as a block; each may have a class. */
export function codeBlock(lines: readonly { line: Html; mark?: "added" | "removed" }[]): Html {
  // lines are blocks of their own, so no line break stands between them
  return html`<pre class="code" tabindex="0"><code>${
    lines.map(({ line, mark }) =>
      html`<span class="${mark ? `line ${mark}` : "line"}">${
        line.text === "" ? new Html(" ") : line
      }</span>`
    )
  }</code></pre>`;
}
