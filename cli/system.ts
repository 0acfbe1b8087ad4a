/**
 * Facts about this machine that set-up, doctor and the test runner share: distribution, package commands, processes.
 * @module
 */
import { fileURLToPath } from "node:url";
import type { PackageManager } from "../engine/adapter.ts";

/** A Linux distribution, as far as its package manager is concerned. */
export interface Distribution {
  /** `ID` of os-release, such as `debian`, `ubuntu`, `fedora`. */
  readonly id: string;
  /** `ID_LIKE` of os-release: the distributions this one descends from. */
  readonly like: readonly string[];
  /** The name to print. */
  readonly name: string;
}

/** Reads the text of `/etc/os-release`: `KEY=value` lines, values bare or in single or double quotes. */
export function parseOsRelease(text: string): Distribution {
  const values = new Map<string, string>();
  for (const line of text.split("\n")) {
    const match = /^\s*([A-Z_]+)=(["']?)(.*?)\2\s*$/.exec(line);
    if (match) values.set(match[1], match[3].replace(/\\(.)/g, "$1"));
  }
  const id = values.get("ID")?.toLowerCase() ?? "unknown";
  const like = values.get("ID_LIKE")?.toLowerCase().split(/\s+/).filter(Boolean) ?? [];
  return { id, like, name: values.get("PRETTY_NAME") ?? values.get("NAME") ?? id };
}

/** The distribution this runs on; undefined outside Linux or without an os-release file. */
export function currentDistribution(): Distribution | undefined {
  if (Deno.build.os !== "linux") return undefined;
  for (const path of ["/etc/os-release", "/usr/lib/os-release"]) {
    try {
      return parseOsRelease(Deno.readTextFileSync(path));
    } catch {
      // Not there or not readable: the next place, or no answer.
    }
  }
  return undefined;
}

const FAMILIES: readonly (readonly [PackageManager, readonly string[]])[] = [
  ["apt", ["debian", "ubuntu"]],
  ["dnf", ["fedora", "rhel", "centos"]],
  ["pacman", ["arch"]],
  ["zypper", ["suse", "opensuse", "opensuse-leap", "opensuse-tumbleweed"]],
];

/** Which package manager a distribution or its ancestors use; undefined where none is known here. */
export function packageManagerOf(distribution: Distribution): PackageManager | undefined {
  const names = [distribution.id, ...distribution.like];
  return FAMILIES.find(([, family]) => family.some((name) => names.includes(name)))?.[0];
}

/** Whether a distribution is Ubuntu or descends from it; its `chromium` package is only a stub for a snap. */
export function isUbuntu(distribution: Distribution): boolean {
  return distribution.id === "ubuntu" || distribution.like.includes("ubuntu");
}

/** Whether this process may install packages. */
export function isRoot(): boolean {
  return Deno.build.os !== "windows" && Deno.uid() === 0;
}

/** Makes a command line that needs root work for a user: `a && b` becomes `sudo a && sudo b`. */
export function asRoot(command: string, root: boolean = isRoot()): string {
  return root ? command : command.split(" && ").map((part) => `sudo ${part}`).join(" && ");
}

/** The packages that give Debian and Ubuntu a software Vulkan driver. */
export const DRIVER_PACKAGES: readonly string[] = ["mesa-vulkan-drivers", "libvulkan1"];

/**
 * Keeps Mesa's software driver quiet: where no session has set `XDG_RUNTIME_DIR` it asks Wayland's library for a
 * display, which prints an error that means nothing here. Empty where there is nothing to set.
 */
export function quietDriverEnvironment(): Record<string, string> {
  const unset = Deno.build.os === "linux" && !Deno.env.get("XDG_RUNTIME_DIR");
  return unset ? { XDG_RUNTIME_DIR: "/tmp" } : {};
}

/** Sets `quietDriverEnvironment` for this process; call it before the first adapter is asked for. */
export function quietDrivers(): void {
  for (const [name, value] of Object.entries(quietDriverEnvironment())) Deno.env.set(name, value);
}

/** What a finished process left. */
export interface RunResult {
  /** Exit code; 128 plus the signal's number where it was stopped by one, 127 where it could not start. */
  readonly code: number;
  /** The signal that stopped it, or null. */
  readonly signal: string | null;
  /** All it printed, as text. */
  readonly stdout: string;
  /** All it printed to its error output, as text. */
  readonly stderr: string;
}

/** How to run a process. */
export interface RunOptions {
  /** Variables added to this process's own. */
  readonly env?: Record<string, string>;
  /** The folder to run in; this process's own by default. */
  readonly cwd?: string;
  /** Milliseconds after which it is killed; none by default. */
  readonly timeoutMs?: number;
}

/** Runs a program without input and collects what it prints; a program that cannot start is a result, not an error. */
export async function run(
  command: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const [program, ...args] = command;
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(program, {
      args,
      env: options.env,
      cwd: options.cwd,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  } catch (error) {
    return { code: 127, signal: null, stdout: "", stderr: String(error) };
  }
  const timer = options.timeoutMs === undefined ? undefined : setTimeout(() => {
    try {
      child.kill("SIGKILL");
    } catch {
      // It ended by itself in the same moment.
    }
  }, options.timeoutMs);
  const { code, signal, stdout, stderr } = await child.output();
  clearTimeout(timer);
  const decoder = new TextDecoder();
  return { code, signal, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** The path of a `file:` URL, on Windows too. */
export function fromFileUrl(url: string | URL): string {
  return fileURLToPath(url);
}

/** The root of the project: the folder above this file's. */
export const PROJECT_ROOT: string = fromFileUrl(new URL("../", import.meta.url));
