/**
 * Formulas by KaTeX: drawn with its own fonts, so that they look alike everywhere, with MathML for those who listen.
 * @module
 */
import katex from "katex";
import type { Formula } from "../atlas/chapter.ts";
import { Html, html } from "./html.ts";

/** The style sheet that formulas need, in the site; its fonts lie beside it. */
export const FORMULA_STYLES = "katex/katex.min.css";

/** A formula under its caption. @throws {Error} the TeX is wrong */
export function formula({ caption, tex }: Formula): Html {
  const rendered = katex.renderToString(tex, {
    output: "htmlAndMathml",
    displayMode: true,
    throwOnError: true,
    strict: "error",
  });
  return html`<figure><figcaption>${caption}</figcaption>${new Html(rendered)}</figure>`;
}

/** Style sheet and fonts by their path in the site, from the package. */
export async function formulaFiles(): Promise<Map<string, Uint8Array>> {
  const from = new URL("./", import.meta.resolve("katex"));
  const files = new Map([
    [FORMULA_STYLES, await Deno.readFile(new URL("katex.min.css", from))],
  ]);
  for await (const { name } of Deno.readDir(new URL("fonts/", from))) {
    if (!name.endsWith(".woff2")) continue; // every browser with WebGPU reads these
    files.set(`katex/fonts/${name}`, await Deno.readFile(new URL(`fonts/${name}`, from)));
  }
  return files;
}
