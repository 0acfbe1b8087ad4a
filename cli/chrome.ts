/**
 * Finds a Chrome or Chromium for the tests and says how to get one.
 * @module
 */
import { join } from "node:path";
import { asRoot, type Distribution, isUbuntu, packageManagerOf, run } from "./system.ts";

/** What the search needs to know of the machine; tests give a made-up one. */
export interface ChromeHost {
  /** `linux`, `darwin` or `windows`, as `Deno.build.os`. */
  readonly os: string;
  /** The value of an environment variable. */
  readonly env: (name: string) => string | undefined;
  /** Whether a file exists that can be started. */
  readonly isProgram: (path: string) => boolean;
}

/** Variables that name a browser; the first one set wins. */
const VARIABLES = ["CHROME_PATH", "PUPPETEER_EXECUTABLE_PATH"];

const UNIX_NAMES = [
  "chromium",
  "chromium-browser",
  "google-chrome",
  "google-chrome-stable",
  "google-chrome-beta",
  "microsoft-edge",
];

const MAC_APPS = ["Google Chrome", "Chromium", "Microsoft Edge"];

const WINDOWS_PLACES = [
  "Google\\Chrome\\Application\\chrome.exe",
  "Chromium\\Application\\chrome.exe",
];

/**
 * The places where a browser may be, best first, existing ones only.
 * @throws {Error} where a variable names a program that does not exist: a wish is not ignored silently.
 */
export function chromeCandidates(host: ChromeHost): string[] {
  for (const name of VARIABLES) {
    const path = host.env(name);
    if (!path) continue;
    if (host.isProgram(path)) return [path];
    throw new Error(`${name} is ${path}, which is not a program: correct or unset it`);
  }
  return possiblePaths(host).filter(host.isProgram);
}

function possiblePaths({ os, env }: ChromeHost): string[] {
  if (os === "windows") {
    const roots = ["ProgramFiles", "ProgramFiles(x86)", "LocalAppData"].map(env);
    return roots.filter((root) => root !== undefined)
      .flatMap((root) => WINDOWS_PLACES.map((place) => `${root}\\${place}`));
  }
  const folders = (env("PATH") ?? "").split(":").filter(Boolean);
  const inPath = UNIX_NAMES.flatMap((name) => folders.map((folder) => join(folder, name)));
  if (os !== "darwin") return inPath;
  const apps = MAC_APPS.map((app) => `/Applications/${app}.app/Contents/MacOS/${app}`);
  return [...apps, ...inPath];
}

/** This machine. */
export function thisHost(): ChromeHost {
  const isProgram = (path: string): boolean => {
    try {
      const { isFile, mode } = Deno.statSync(path);
      return isFile && (mode === null || (mode & 0o111) !== 0);
    } catch {
      return false;
    }
  };
  return { os: Deno.build.os, env: (name) => Deno.env.get(name), isProgram };
}

/** A browser that starts. */
export interface Chrome {
  /** Where the program is. */
  readonly path: string;
  /** What it says of itself, such as `Chromium 140.0.7339.16`; its path on Windows, where asking opens a window. */
  readonly version: string;
}

/** The outcome of a search: a browser, or why there is none. */
export type ChromeSearch =
  | { readonly chrome: Chrome }
  | { readonly chrome: null; readonly reason: string };

/** Finds the first browser that also answers when asked for its version, which Ubuntu's stub for a snap does not. */
export async function findChrome(host: ChromeHost = thisHost()): Promise<ChromeSearch> {
  let candidates: string[];
  try {
    candidates = chromeCandidates(host);
  } catch (error) {
    return { chrome: null, reason: error instanceof Error ? error.message : String(error) };
  }
  for (const path of candidates) {
    if (host.os === "windows") return { chrome: { path, version: path } };
    const { code, stdout } = await run([path, "--version"], { timeoutMs: 20_000 });
    const version = /(Chrom\w*|Edge)[^\n]*\d/.exec(stdout)?.[0];
    if (code === 0 && version !== undefined) return { chrome: { path, version } };
  }
  const reason = candidates.length === 0
    ? "no Chrome or Chromium in the usual places"
    : `${candidates.join(", ")} did not start`;
  return { chrome: null, reason };
}

/** How to get a browser on a system, one command or sentence. */
export function chromeHelp(
  os: string,
  distribution: Distribution | undefined,
  root?: boolean,
): string {
  const manager = distribution && packageManagerOf(distribution);
  if (distribution && isUbuntu(distribution)) {
    // Ubuntu's own package only installs a snap, which has no access to what runs as root or in a container.
    const deb = "google-chrome-stable_current_amd64.deb";
    return `wget https://dl.google.com/linux/direct/${deb} && ` +
      asRoot(`apt-get install -y ./${deb}`, root);
  }
  switch (manager) {
    case "apt":
      return asRoot("apt-get update && apt-get install -y --no-install-recommends chromium", root);
    case "dnf":
      return asRoot("dnf install -y chromium", root);
    case "pacman":
      return asRoot("pacman -S --needed chromium", root);
    case "zypper":
      return asRoot("zypper install -y chromium", root);
  }
  if (os === "darwin") return "brew install --cask google-chrome";
  if (os === "windows") return "winget install Google.Chrome";
  return "install Chrome or Chromium, or set CHROME_PATH to one";
}
