import { assertEquals, test } from "../harness.ts";
import { elementsOf, namedArray, readSafetensors, writeSafetensors } from "../../io/mod.ts";

// That this file can be bundled for a page is half of the test: nothing behind io/mod.ts may import `node:`.
test("io/mod.ts reads and writes weights where there is no file system", async () => {
  const file = writeSafetensors([["w", namedArray(Float32Array.of(1, 2), [2, 1])]]);
  const { tensors } = await readSafetensors(file);
  assertEquals(elementsOf(tensors.get("w")!), Float32Array.of(1, 2));
});
