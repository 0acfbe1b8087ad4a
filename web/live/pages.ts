/**
 * The live pages, in the order of the navigation.
 * @module
 */
import type { LivePage } from "./live_page.ts";

/** All live pages. */
export const LIVE_PAGES: readonly LivePage[] = [];
