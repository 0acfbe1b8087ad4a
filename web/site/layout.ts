/**
 * The frame of every page.
 * @module
 */
import { LIVE_PAGES } from "../live/pages.ts";
import { type Html, html } from "./html.ts";

/** What a page says of itself. */
export interface Page {
  readonly title: string;
  readonly description: string;
  /** Path from the page to the site's root: `` or `../`. */
  readonly root: string;
  /** Scripts of the page, relative to the root. */
  readonly scripts: readonly string[];
  /** Style sheets besides the site's, relative to the root. */
  readonly styles?: readonly string[];
  readonly body: Html;
}

/** A whole document. */
export function layout({ title, description, root, scripts, styles = [], body }: Page): string {
  return html`
    <!doctype html>
    <html lang="en">
      <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <meta name="description" content="${description}">
    <title>${title} · wgrad</title>
    <link rel="icon" href="data:,">
    <link rel="stylesheet" href="${root}site.css">
    ${styles.map((style) => html`<link rel="stylesheet" href="${root}${style}">`)}
    ${scripts.map((script) => html`<script type="module" src="${root}${script}"></script>`)}
      </head>
      <body>
        <a class="skip" href="#main">Skip to the content</a>
        <header class="top"><a class="home" href="${root}index.html">wgrad</a>
    <nav aria-label="Site"><a href="${root}index.html">Kernel atlas</a>${LIVE_PAGES.map((
      { slug, title },
    ) =>
      html`
        <a href="${root}${slug}.html">${title}</a>
      `
    )}</nav>
    <p class="adapter" id="adapter" role="status"></p></header>
        <main id="main">${body}</main>
      </body>
    </html>
  `.text;
}
