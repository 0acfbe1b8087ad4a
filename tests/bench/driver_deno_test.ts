import { driverOf } from "../../bench/driver.ts";
import { assertEquals, denoTest } from "../harness.ts";

/** A system that answers to these programs. */
const system = (answers: Readonly<Record<string, string>>) => ([program]: readonly string[]) =>
  Promise.resolve({
    code: program in answers ? 0 : 127,
    signal: null,
    stdout: answers[program] ?? "",
    stderr: "",
  });

denoTest("driverOf() asks who knows the adapter's driver, and says when nobody does", async () => {
  const lavapipe = "llvmpipe (LLVM 15.0.6, 256 bits) [software]";
  assertEquals(
    await driverOf(lavapipe, system({ "dpkg-query": "22.3.6-1+deb12u2" })),
    "Mesa 22.3.6-1+deb12u2",
  );
  assertEquals(await driverOf(lavapipe, system({ rpm: "24.1.2" })), "Mesa 24.1.2");
  assertEquals(await driverOf(lavapipe, system({})), null);
  const nvidia =
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build";
  assertEquals(
    await driverOf("NVIDIA H200 [hardware]", system({ cat: nvidia, "dpkg-query": "22" })),
    "NVIDIA 570.86.15",
  );
  assertEquals(await driverOf("Apple M3 [hardware]", system({ sw_vers: "15.4\n" })), "macOS 15.4");
  assertEquals(await driverOf("some card", system({ cat: nvidia })), null);
});
