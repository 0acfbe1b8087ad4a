/** Facts about the machine: distributions, package commands, processes. */
import {
  asRoot,
  isUbuntu,
  packageManagerOf,
  parseOsRelease,
  quietDriverEnvironment,
  run,
} from "../../cli/system.ts";
import { assert, assertEquals, denoTest } from "../harness.ts";

const DEBIAN = `PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nID=debian\n`;
const MINT = `NAME="Linux Mint"\nID=linuxmint\nID_LIKE="ubuntu debian"\n`;
const TUMBLEWEED =
  `NAME='openSUSE Tumbleweed'\nID="opensuse-tumbleweed"\nID_LIKE="opensuse suse"\n`;

denoTest("os-release is read with any quotes, comments and empty lines", () => {
  assertEquals(parseOsRelease(DEBIAN), {
    id: "debian",
    like: [],
    name: "Debian GNU/Linux 12 (bookworm)",
  });
  assertEquals(parseOsRelease(`# a comment\n\nID=arch\r\n`), {
    id: "arch",
    like: [],
    name: "arch",
  });
  assertEquals(parseOsRelease(TUMBLEWEED).name, "openSUSE Tumbleweed");
  assertEquals(parseOsRelease("nonsense"), { id: "unknown", like: [], name: "unknown" });
});

denoTest("a distribution's package manager is found through its ancestors", () => {
  const manager = (text: string) => packageManagerOf(parseOsRelease(text));
  assertEquals(manager(DEBIAN), "apt");
  assertEquals(manager(MINT), "apt");
  assertEquals(manager("ID=fedora"), "dnf");
  assertEquals(manager(`ID="rocky"\nID_LIKE="rhel centos fedora"`), "dnf");
  assertEquals(manager("ID=manjaro\nID_LIKE=arch"), "pacman");
  assertEquals(manager(TUMBLEWEED), "zypper");
  assertEquals(manager("ID=nixos"), undefined);
  assert(isUbuntu(parseOsRelease(MINT)) && !isUbuntu(parseOsRelease(DEBIAN)), "isUbuntu");
});

denoTest("commands for users have sudo before every part", () => {
  assertEquals(asRoot("a && b c", false), "sudo a && sudo b c");
  assertEquals(asRoot("a && b c", true), "a && b c");
});

denoTest("a process is a result, also when it fails, hangs or does not exist", async () => {
  const deno = (program: string) => [Deno.execPath(), "eval", program];
  const good = await run(deno("console.log(Deno.env.get('A')); console.error('e')"), {
    env: { A: "1", NO_COLOR: "1" },
  });
  assertEquals([good.code, good.stdout, good.stderr], [0, "1\n", "e\n"]);
  assertEquals((await run(deno("Deno.exit(3)"))).code, 3);
  assertEquals((await run(["/nowhere/program"])).code, 127);
  const hung = await run(deno("setInterval(() => {}, 1000)"), { timeoutMs: 300 });
  assertEquals(hung.signal, Deno.build.os === "windows" ? null : "SIGKILL");
});

denoTest("the quiet environment leaves a session's own setting alone", () => {
  const set = Deno.env.get("XDG_RUNTIME_DIR");
  if (set) assertEquals(quietDriverEnvironment(), {});
  else if (Deno.build.os === "linux") assertEquals(Object.keys(quietDriverEnvironment()).length, 1);
});
