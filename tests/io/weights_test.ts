import { assert, assertEquals, assertRejects, loadFixture, test } from "../harness.ts";
import { CheckpointError } from "../../engine/errors.ts";
import { bytesSource } from "../../io/byte_source.ts";
import { namedArray } from "../../io/named_array.ts";
import { SafetensorsReader } from "../../io/safetensors.ts";
import { writeSafetensors } from "../../io/safetensors_write.ts";
import { TorchReader } from "../../io/torch/reader.ts";
import { openWeights, weightsSource } from "../../io/weights.ts";

test("openWeights() tells formats apart by their content, not their name", async () => {
  const zip = await loadFixture("io/fixtures/torch/timm_style.pth");
  const legacy = await loadFixture("io/fixtures/torch/legacy_format.pth");
  const safetensors = await loadFixture("io/fixtures/ok.safetensors");
  for (const name of ["a.safetensors", "a.pth", "a"]) {
    for (const bytes of [zip, legacy]) {
      assert(await openWeights(bytesSource(bytes, name)) instanceof TorchReader);
    }
    assert(await openWeights(bytesSource(safetensors, name)) instanceof SafetensorsReader);
  }
  assert(await openWeights(new Blob([zip])) instanceof TorchReader);
});

test("openWeights() says what a file is not", async () => {
  const bytes = new TextEncoder().encode("<!DOCTYPE html><html>404 Not Found");
  const cases: readonly (readonly [Uint8Array, string, string])[] = [
    [bytes, "vit.pth", "vit.pth: it is no safetensors file and no checkpoint of torch.save()"],
    [bytes, "vit.pth", "it starts with the bytes 3c 21 44 4f"],
    [bytes, "vit.safetensors", "vit.safetensors: claims a header of"],
    [new Uint8Array(0), "vit.pth", "vit.pth: the file is empty"],
    [Uint8Array.of(1), "vit.pth", "it starts with the bytes 01"],
  ];
  for (const [content, name, message] of cases) {
    await assertRejects(() => openWeights(bytesSource(content, name)), CheckpointError, message);
  }
  await assertRejects(
    () => openWeights(writeSafetensors([]), { part: "model" }),
    CheckpointError,
    "has no parts to choose from",
  );
});

test("weightsSource() gives shapes at once and values as f32 when asked", async () => {
  const file = writeSafetensors([
    ["half", namedArray(Uint16Array.of(0x3c00, 0xc000), [2, 1], "BF16")],
    ["long", namedArray(BigInt64Array.of(3n), [])],
  ]);
  const source = weightsSource(await openWeights(file));
  assertEquals([...source.shapes], [["long", []], ["half", [2, 1]]]);
  assertEquals(await source.read("half"), Float32Array.of(0.0078125, -2));
  assertEquals(await source.read("long"), Float32Array.of(3));
  const torch = weightsSource(
    await openWeights(await loadFixture("io/fixtures/torch/mmcv_style.pth")),
  );
  assertEquals(torch.shapes.get("half"), [3, 4]);
  assertEquals((await torch.read("bool")).join(), "1,0,1");
});
