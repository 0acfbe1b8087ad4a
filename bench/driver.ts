/**
 * Which driver an adapter runs on, where the runtime does not say: Deno names the adapter alone, so the system is asked.
 * Deno only.
 * @module
 */
import { run } from "../cli/system.ts";

/** What to ask, and where in the answer the version stands. */
interface Source {
  /** Adapters that it is about. */
  readonly adapter: RegExp;
  readonly command: readonly string[];
  readonly version: RegExp;
  readonly name: string;
}

/** Adapters that Mesa drives on Linux. */
const MESA = /llvmpipe|lavapipe|radv|radeon|amd|intel|nvk|venus|turnip/i;

const SOURCES: readonly Source[] = [
  {
    adapter: /nvidia/i,
    command: ["cat", "/proc/driver/nvidia/version"],
    version: /Kernel Module.*?\s([\d.]+)\s/,
    name: "NVIDIA",
  },
  {
    adapter: MESA,
    command: ["dpkg-query", "--show", "--showformat=${Version}", "mesa-vulkan-drivers"],
    version: /^\S+/,
    name: "Mesa",
  },
  {
    adapter: MESA,
    command: ["rpm", "--query", "--queryformat=%{VERSION}", "mesa-vulkan-drivers"],
    version: /^[\d.]+/,
    name: "Mesa",
  },
  // Metal is a part of macOS.
  { adapter: /apple/i, command: ["sw_vers", "-productVersion"], version: /[\d.]+/, name: "macOS" },
];

/** Driver and version, such as `Mesa 22.3.6-1+deb12u2`; null where nobody tells. @param adapter as the runtime names it */
export async function driverOf(adapter: string, ask: typeof run = run): Promise<string | null> {
  for (const source of SOURCES.filter((source) => source.adapter.test(adapter))) {
    const { code, stdout } = await ask(source.command, { timeoutMs: 10_000 });
    const match = code === 0 ? source.version.exec(stdout) : null;
    if (match !== null) return `${source.name} ${match[1] ?? match[0]}`;
  }
  return null;
}
