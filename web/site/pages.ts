/**
 * The pages of the atlas as HTML.
 * @module
 */
import type { Chapter } from "../atlas/chapter.ts";
import { CHAPTERS, PARTS } from "../atlas/chapters.ts";
import { readHeader } from "../atlas/header.ts";
import type { LivePage } from "../live/live_page.ts";
import { LIVE_PAGES } from "../live/pages.ts";
import { formula, FORMULA_STYLES } from "./formula.ts";
import { codeBlock, type Highlight } from "./highlight.ts";
import { type Html, html } from "./html.ts";
import { ladder } from "./ladder.ts";
import { layout } from "./layout.ts";

/** The first page: what to read, in which order. */
export function indexPage(): string {
  let number = 0;
  return layout({
    title: "Kernel atlas",
    description:
      "Hand-written WebGPU kernels of two vision systems, explained, drawn and measured in your browser.",
    root: "",
    scripts: ["web/client/index.js"],
    body: html`
      <h1>Kernel atlas</h1>
      <p
        class="lead">Every kernel of wgrad, in the order to read them: from a matrix product in which one invocation computes
      one element, to attention that never writes its scores, entmax, cosine routing, soft merging and RoIAlign. Each page is
      made from the code that runs: hover an output to see which inputs it touches and which invocation writes it, read the
      shader and what changed from rung to rung, and run it on your own adapter.</p>
      ${PARTS.map(({ title, about, chapters }) =>
        html`
          <section>
            <h2>${title}</h2>
            <p>${about}</p>
            <ol class="chapters" start="${number + 1}">${chapters.map((chapter) => {
              number++;
              return html`<li><a href="${chapter.slug}.html">${chapter.title}</a><p>${
                beginning(chapter.summary)
              }</p></li>`;
            })}</ol>
          </section>
        `
      )}
      ${LIVE_PAGES.length === 0 ? null : html`
        <section>
          <h2>Live</h2>
          <p>The systems that these kernels are for, running in your browser.</p>
          <ul class="live">${LIVE_PAGES.map(({ slug, title, about }) =>
            html`<li><a href="${slug}.html">${title}</a><p>${about}</p></li>`
          )}</ul>
        </section>
      `}
    `,
  });
}

/** A page on which something runs. */
export function livePage({ title, about, body, script, style }: LivePage): string {
  return layout({
    title,
    description: about,
    root: "",
    scripts: [script.replace(/\.ts$/, ".js")],
    styles: style === undefined ? [] : [style],
    body: body(),
  });
}

/** The beginning of a text: as many sentences as it takes to say something. */
function beginning(text: string): string {
  const [first, ...others] = text.match(/[^.]+(?:\.(?! )[^.]*)*\.(?= |$)/g)!;
  let said = first;
  for (const sentence of others) {
    if (said.length > 100) break;
    said += sentence;
  }
  return said;
}

/** The page of a family. @param sources file texts by path relative to the project */
export function chapterPage(
  chapter: Chapter,
  sources: ReadonlyMap<string, string>,
  highlight: Highlight,
): string {
  const at = CHAPTERS.indexOf(chapter), before = CHAPTERS[at - 1], after = CHAPTERS[at + 1];
  return layout({
    title: chapter.title,
    description: beginning(chapter.summary),
    root: "",
    styles: [FORMULA_STYLES],
    scripts: ["web/client/chapter.js"],
    body: html`
      <article class="chapter" data-chapter="${chapter.slug}">
      <p class="crumb">${at + 1} of ${CHAPTERS.length}</p>
      <h1>${chapter.title}</h1>
      <p class="lead">${chapter.summary}</p>
      <section class="formulas" aria-label="Formulas">${chapter.formulas.map(formula)}</section>
      <nav class="contents" aria-label="On this page"><ul>${chapter.passes.map(({ title }, i) =>
        html`<li><a href="#pass-${i}">${title}</a></li>`
      )}<li><a href="#files">What the files say</a></li></ul></nav>
      ${chapter.passes.map((pass, i) => ladder(pass, i, highlight))}
      <section id="files"><h2>What the files say</h2>${chapter.files.map((file) =>
        headerBlock(file, sources.get(`kernels/${file}`)!)
      )}
      <h3>Tests</h3><ul>${chapter.tests.map((path) =>
        html`<li><a href="source/${path}.html">${path}</a></li>`
      )}</ul></section>
      <nav class="turn" aria-label="Pages">${before
        ? html`<a rel="prev" href="${before.slug}.html">← ${before.title}</a>`
        : html`<span></span>`}${after
        ? html`<a rel="next" href="${after.slug}.html">${after.title} →</a>`
        : null}</nav>
      </article>
    `,
  });
}

function headerBlock(file: string, source: string): Html {
  const { intro, sections } = readHeader(source);
  return html`
    <details class="header"><summary><code>${file}</code> ${intro.split("\n\n")[0].replaceAll(
      "\n",
      " ",
    )}</summary>
    ${intro.split("\n\n").slice(1).map((text) => html`<p>${text}</p>`)}
    <dl>${sections.map(({ label, text }) =>
      html`
        <dt>${label}</dt>
        <dd>
          <pre>${text}</pre>
        </dd>
      `
    )}</dl>
    <p><a href="source/kernels/${file}.html">kernels/${file}</a></p></details>
  `;
}

/** A source file with numbered lines. */
export function sourcePage(path: string, source: string, highlight: Highlight): string {
  const root = "../".repeat(path.split("/").length);
  return layout({
    title: path,
    description: `Source of ${path}`,
    root,
    scripts: [],
    body: html`<article class="source"><h1>${path}</h1>${
      codeBlock(highlight(source.trimEnd(), "typescript").map((line) => ({ line })))
    }</article>`,
  });
}
