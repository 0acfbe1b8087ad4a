/**
 * A page on which something runs: what the site needs to build it.
 * @module
 */
import type { Html } from "../site/html.ts";

/** A file that a page loads, such as weights. */
export interface SiteFile {
  /** Where it is in the site. */
  readonly path: string;
  /** Where it is in the project. */
  readonly source: string;
}

/** A live page. */
export interface LivePage {
  /** `SLUG.html` in the site. */
  readonly slug: string;
  readonly title: string;
  /** A sentence or two: what one can do there. */
  readonly about: string;
  readonly body: () => Html;
  /** Its script, relative to the project. */
  readonly script: string;
  /** The script of a worker that it starts, relative to the project. */
  readonly worker?: string;
  readonly files: readonly SiteFile[];
  /** Its style sheet besides the site's, relative to the project. */
  readonly style?: string;
  /** Files that are made when the site is built, by their place in the site. */
  readonly made?: () => Promise<ReadonlyMap<string, Uint8Array>>;
}
