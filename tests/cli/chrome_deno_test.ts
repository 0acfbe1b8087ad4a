/** Finding a browser: variables, PATH, well-known places, and programs that are not what they are called. */
import { chromeCandidates, chromeHelp, type ChromeHost, findChrome } from "../../cli/chrome.ts";
import { parseOsRelease } from "../../cli/system.ts";
import { assert, assertEquals, assertThrows, denoTest } from "../harness.ts";

function host(os: string, env: Record<string, string>, programs: readonly string[]): ChromeHost {
  return { os, env: (name) => env[name], isProgram: (path) => programs.includes(path) };
}

denoTest("a browser is looked for along PATH, by name first", () => {
  const programs = ["/a/google-chrome", "/b/chromium", "/b/chromium-browser", "/c/chromium"];
  const candidates = chromeCandidates(host("linux", { PATH: "/a:/b" }, programs));
  assertEquals(candidates, ["/b/chromium", "/b/chromium-browser", "/a/google-chrome"]);
  assertEquals(chromeCandidates(host("linux", {}, programs)), []);
});

denoTest("a variable wins, and one that names nothing is an error", () => {
  const programs = ["/b/chromium", "/x/chrome"];
  const env = { PATH: "/b", PUPPETEER_EXECUTABLE_PATH: "/x/chrome" };
  assertEquals(chromeCandidates(host("linux", env, programs)), ["/x/chrome"]);
  assertThrows(
    () => chromeCandidates(host("linux", { ...env, CHROME_PATH: "/x/gone" }, programs)),
    Error,
    "CHROME_PATH is /x/gone",
  );
});

denoTest("macOS and Windows have their own places", () => {
  const app = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome";
  assertEquals(chromeCandidates(host("darwin", {}, [app])), [app]);
  const exe = "C:\\Programs\\Google\\Chrome\\Application\\chrome.exe";
  assertEquals(chromeCandidates(host("windows", { ProgramFiles: "C:\\Programs" }, [exe])), [exe]);
});

denoTest("a program that does not answer as a browser is passed over", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const script = async (name: string, text: string) => {
      await Deno.writeTextFile(`${folder}/${name}`, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
      return `${folder}/${name}`;
    };
    // What Ubuntu installs as chromium-browser: it only asks for a snap.
    const stub = await script("chromium", "echo requires the chromium snap >&2; exit 1");
    const empty = await findChrome(host("linux", { PATH: folder }, [stub]));
    assert(empty.chrome === null && empty.reason.includes("did not start"), "the stub counted");
    const real = await script("google-chrome", "echo Google Chrome 140.0.7339.16");
    const found = await findChrome(host("linux", { PATH: folder }, [stub, real]));
    assertEquals(found.chrome, { path: real, version: "Chrome 140.0.7339.16" });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

denoTest("no browser at all, and a wrong variable, are reasons and not errors", async () => {
  const nothing = await findChrome(host("linux", { PATH: "/a" }, []));
  assert(nothing.chrome === null && nothing.reason.includes("no Chrome"), "nothing");
  const wrong = await findChrome(host("linux", { CHROME_PATH: "/x" }, []));
  assert(wrong.chrome === null && wrong.reason.includes("CHROME_PATH is /x"), "wrong");
});

denoTest("help is one command for each system, and never Ubuntu's stub", () => {
  const help = (text: string, root = true) => chromeHelp("linux", parseOsRelease(text), root);
  assertEquals(
    help("ID=debian", false),
    "sudo apt-get update && sudo apt-get install -y --no-install-recommends chromium",
  );
  assert(help("ID=ubuntu").includes("google-chrome-stable_current_amd64.deb"), "ubuntu");
  assertEquals(help("ID=fedora"), "dnf install -y chromium");
  assertEquals(help("ID=arch"), "pacman -S --needed chromium");
  assertEquals(chromeHelp("darwin", undefined), "brew install --cask google-chrome");
  assertEquals(chromeHelp("windows", undefined), "winget install Google.Chrome");
  assert(chromeHelp("freebsd", undefined).includes("CHROME_PATH"), "other");
});
