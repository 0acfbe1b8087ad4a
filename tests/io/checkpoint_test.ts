import { assertEquals, assertThrows, test } from "../harness.ts";
import {
  type Checkpoint,
  type CheckpointState,
  decodeCheckpoint,
  encodeCheckpoint,
  type EncodedCheckpoint,
  tensorGroup,
} from "../../io/checkpoint.ts";
import { type NamedArray, namedArray } from "../../io/named_array.ts";
import { readSafetensors } from "../../io/safetensors.ts";
import { writeSafetensors } from "../../io/safetensors_write.ts";
import { Rng } from "../../engine/random/host_rng.ts";
import { CheckpointError } from "../../engine/errors.ts";

function makeCheckpoint(): Checkpoint {
  const rng = new Rng(2n ** 64n - 1n, "data");
  rng.word();
  return {
    tensors: new Map([
      ["model.head.weight", namedArray(Float32Array.of(1, -0, NaN), [3, 1])],
      ["model.step", namedArray(Int32Array.of(7), [])],
      ["optimizer.head.weight.m", namedArray(Float32Array.of(0.5, 0, 1), [3, 1])],
    ]),
    state: {
      step: 120,
      epoch: 3,
      position: 64,
      seed: String(2n ** 64n - 1n),
      rng: { data: rng.state(), dropout: new Rng(1, 5).cell(2).state() },
      schedule: { name: "cosine", warmup: 10, base: 1e-3 },
      kernelVariants: { matmul: "tiled_64", softmax: "readable" },
      config: { model: { dim: 64, blocks: [1, 2, 3] }, note: "é \u{1f600}", none: null },
      dataset: "60000x28x28x1-0123456789abcdef",
    },
  };
}

test("a checkpoint comes back whole through a safetensors file", async () => {
  const checkpoint = makeCheckpoint();
  const { tensors, metadata } = encodeCheckpoint(checkpoint);
  const content = await readSafetensors(writeSafetensors(tensors, metadata));
  const got = decodeCheckpoint(content);
  assertEquals(got.state, checkpoint.state);
  assertEquals([...got.tensors.keys()].sort(), [...checkpoint.tensors.keys()].sort());
  for (const [name, array] of checkpoint.tensors) assertEquals(got.tensors.get(name), array);
  const want = Rng.restore(checkpoint.state.rng.data).word();
  assertEquals(Rng.restore(got.state.rng.data).word(), want);
});

test("encodeCheckpoint() writes documented, readable metadata", () => {
  const { metadata } = encodeCheckpoint(makeCheckpoint());
  assertEquals(metadata.get("format"), "wgrad-checkpoint");
  assertEquals(metadata.get("version"), "1");
  assertEquals(metadata.get("step"), "120");
  assertEquals(metadata.get("schedule"), '{"name":"cosine","warmup":10,"base":0.001}');
  assertEquals(metadata.has("extra"), false);
});

test("a checkpoint keeps what a program adds in extra", () => {
  const { tensors, state } = makeCheckpoint();
  const extra = { best: { accuracy: 0.81, step: 90 } };
  const encoded = encodeCheckpoint({ tensors, state: { ...state, extra } });
  assertEquals(decodeCheckpoint(encoded).state.extra, extra);
});

test("tensorGroup() picks a group and takes its name off", () => {
  const { tensors } = makeCheckpoint();
  assertEquals([...tensorGroup(tensors, "model").keys()], ["head.weight", "step"]);
  assertEquals([...tensorGroup(tensors, "optimizer").keys()], ["head.weight.m"]);
});

test("decodeCheckpoint() names the field that is missing, unknown or of the wrong kind", () => {
  const encoded = encodeCheckpoint(makeCheckpoint());
  const withField = (name: string, text: string | undefined): EncodedCheckpoint => {
    const metadata = new Map(encoded.metadata);
    if (text === undefined) metadata.delete(name);
    else metadata.set(name, text);
    return { ...encoded, metadata };
  };
  const cases: [string, string | undefined, string][] = [
    ["format", undefined, "no wgrad checkpoint"],
    ["format", "pt", "no wgrad checkpoint"],
    ["version", undefined, "checkpoint version undefined, this wgrad reads 1"],
    ["version", "2", 'checkpoint version "2", this wgrad reads 1'],
    ["step", undefined, 'field "step" is missing'],
    ["rng", undefined, 'field "rng" is missing'],
    ["step", "-1", 'field "step" must be a whole number >= 0, got -1'],
    ["step", "1.5", 'field "step" must be a whole number >= 0, got 1.5'],
    ["step", '"1"', 'field "step" must be a whole number >= 0, got "1"'],
    ["step", "1,", 'field "step" is not proper JSON'],
    ["epoch", "null", 'field "epoch" must be a whole number'],
    ["position", "1e300", 'field "position" must be a whole number'],
    ["seed", "42", 'field "seed" must be a string of decimal digits, got 42'],
    ["seed", '"0x1"', 'field "seed" must be a string of decimal digits'],
    ["rng", '{"a":{}}', 'field "rng" must be an object of generator states'],
    ["rng", '{"a":{"seed":"1","stream":0,"cell":[0],"position":0}}', 'field "rng"'],
    ["schedule", "[]", 'field "schedule" must be an object, got an array'],
    ["kernelVariants", '{"matmul":1}', 'field "kernelVariants" must be an object of strings'],
    ["config", '{"a":1,"a":2}', 'field "config" is not proper JSON: the key "a" stands twice'],
    ["config", '{"__proto__":{}}', 'field "config" is not proper JSON'],
    ["dataset", "{}", 'field "dataset" must be a string'],
    ["extra", "1", 'field "extra" must be an object'],
    ["steps", "1", 'unknown field "steps"'],
    ["constructor", "1", 'unknown field "constructor"'],
  ];
  for (const [name, text, message] of cases) {
    assertThrows(
      () => decodeCheckpoint(withField(name, text), "run.ckpt"),
      CheckpointError,
      message,
    );
  }
  assertThrows(
    () => decodeCheckpoint(withField("step", undefined), "run.ckpt"),
    CheckpointError,
    "run.ckpt",
  );
});

test("encodeCheckpoint() refuses a state that could not be read back", () => {
  const { tensors, state } = makeCheckpoint();
  const cases: [object, string][] = [
    [{ step: undefined }, "step is undefined"],
    [{ step: NaN }, "step is NaN"],
    [{ step: -1 }, 'field "step" must be'],
    [{ config: { lr: Infinity } }, "config.lr is Infinity"],
    [{ config: { f: () => 0 } }, "config.f is"],
    [{ schedule: { table: new Float32Array(1) } }, "schedule.table is Float32Array"],
    [{ seed: 5n }, "seed is 5"],
    [{ extra: [] }, 'field "extra" must be an object'],
  ];
  for (const [change, message] of cases) {
    const wrong = { ...state, ...change } as CheckpointState;
    assertThrows(() => encodeCheckpoint({ tensors, state: wrong }), CheckpointError, message);
  }
});

test("checkpoints refuse tensors outside the groups, and a checkpoint without weights", () => {
  const { tensors, state } = makeCheckpoint();
  const one = namedArray(Float32Array.of(1));
  const withTensors = (entries: [string, NamedArray][]): Checkpoint => ({
    state,
    tensors: new Map(entries),
  });
  const stray = withTensors([...tensors, ["head.bias", one]]);
  assertThrows(() => encodeCheckpoint(stray), CheckpointError, 'tensor "head.bias" is in no group');
  assertThrows(
    () => encodeCheckpoint(withTensors([["model.", one]])),
    CheckpointError,
    "in no group",
  );
  assertThrows(
    () => encodeCheckpoint(withTensors([["optimizer.a", one]])),
    CheckpointError,
    'there is no "model." tensor',
  );
  const { metadata } = encodeCheckpoint({ tensors, state });
  assertThrows(
    () => decodeCheckpoint({ tensors: stray.tensors, metadata }),
    CheckpointError,
    "in no group",
  );
});
