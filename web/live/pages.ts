/**
 * The live pages, in the order of the navigation.
 * @module
 */
import { BENCH_PAGE } from "./bench/page.ts";
import { GAZE_PAGE } from "./gaze/page.ts";
import type { LivePage } from "./live_page.ts";
import { MOE_PAGE } from "./moe/page.ts";

/** All live pages. */
export const LIVE_PAGES: readonly LivePage[] = [MOE_PAGE, GAZE_PAGE, BENCH_PAGE];
