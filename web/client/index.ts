/**
 * The first page: it says which adapter the others will run on.
 * @module
 */
import { showAdapter } from "./device.ts";

await showAdapter();
