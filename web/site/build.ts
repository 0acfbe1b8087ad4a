/**
 * Builds the site: pages from the chapters and the kernels' own files, scripts by esbuild. Deno only.
 * @module
 */
import { join } from "node:path";
import { bundle } from "../../cli/bundle.ts";
import { PROJECT_ROOT } from "../../cli/system.ts";
import { CHAPTERS } from "../atlas/chapters.ts";
import { LIVE_PAGES } from "../live/pages.ts";
import { formulaFiles } from "./formula.ts";
import { loadHighlighter } from "./highlight.ts";
import { chapterPage, indexPage, livePage, sourcePage } from "./pages.ts";

/** The site's files by path. */
export type Site = ReadonlyMap<string, Uint8Array>;

const SCRIPTS = [
  "web/client/index.ts",
  "web/client/chapter.ts",
  ...LIVE_PAGES.flatMap(({ script, worker }) => worker ? [script, worker] : [script]),
];

/** Every file that a page shows or links, relative to the project. */
function sourcePaths(): string[] {
  const paths = CHAPTERS.flatMap(({ files, tests, passes }) => [
    ...[...files, ...passes.flatMap(({ rungs }) => rungs.map(({ file }) => file))]
      .map((file) => `kernels/${file}`),
    ...tests,
  ]);
  return [...new Set(paths)];
}

/** Builds the whole site in memory. @throws {Error} when a page names a file that is not there, or a formula is wrong */
export async function buildSite(): Promise<Site> {
  const site = new Map<string, Uint8Array>(), encoder = new TextEncoder();
  const add = (path: string, text: string) => site.set(path, encoder.encode(text));
  const sources = new Map(
    await Promise.all(
      sourcePaths().map(async (path) =>
        [path, await Deno.readTextFile(join(PROJECT_ROOT, path))] as const
      ),
    ),
  );
  const highlight = await loadHighlighter();
  add("index.html", indexPage());
  for (const chapter of CHAPTERS) {
    add(`${chapter.slug}.html`, chapterPage(chapter, sources, highlight));
  }
  for (const page of LIVE_PAGES) {
    add(`${page.slug}.html`, livePage(page));
    for (const { path, source } of page.files) {
      site.set(path, await Deno.readFile(join(PROJECT_ROOT, source)));
    }
    const { style, made } = page;
    if (style) site.set(style, await Deno.readFile(join(PROJECT_ROOT, style)));
    for (const [path, bytes] of await made?.() ?? []) site.set(path, bytes);
  }
  for (const [path, source] of sources) {
    add(`source/${path}.html`, sourcePage(path, source, highlight));
  }
  const css = await Deno.readTextFile(new URL("site.css", import.meta.url));
  add("site.css", `${css}\n${highlight.css()}\n`);
  for (const [path, bytes] of await formulaFiles()) site.set(path, bytes);
  for (const [path, contents] of await bundle(SCRIPTS)) site.set(path, contents);
  return site;
}
