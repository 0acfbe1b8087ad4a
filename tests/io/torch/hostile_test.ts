/**
 * Damaged and hostile checkpoints: whatever the bytes, the answer is a `CheckpointError` or a right result.
 */
import { assert, assertEquals, assertRejects, loadFixture, test } from "../../harness.ts";
import { CheckpointError } from "../../../engine/errors.ts";
import { Rng } from "../../../engine/random/host_rng.ts";
import { bytesSource } from "../../../io/byte_source.ts";
import type { NamedArray } from "../../../io/named_array.ts";
import { TorchReader } from "../../../io/torch/reader.ts";
import { openWeights } from "../../../io/weights.ts";
import { concat, makeZip } from "../zip_writer.ts";
import {
  type Code,
  dict,
  f32,
  global,
  int,
  legacyCheckpoint,
  list,
  none,
  pickle,
  raw,
  reduce,
  storage,
  str,
  tensor,
  tuple,
  zipCheckpoint,
} from "./pickle_writer.ts";

type Tensors = Map<string, NamedArray>;

async function readAll(bytes: Uint8Array): Promise<Tensors> {
  const reader = await openWeights(bytes);
  return new Map(await Array.fromAsync(reader));
}

/** Reads a file that may be bad: its tensors, or null where it was refused. */
async function attempt(bytes: Uint8Array, what: string): Promise<Tensors | null> {
  try {
    return await readAll(bytes);
  } catch (error) {
    assert(error instanceof CheckpointError, `${what}: ${error}`);
    return null;
  }
}

/** A small state dict with a shared storage and a transposed view, and something unknown beside it. */
const ROOT = dict(
  [
    "state_dict",
    dict(
      ["a", tensor(storage("FloatStorage", "0", 6), [2, 3])],
      ["b", tensor(storage("FloatStorage", "0", 6), [3, 2], { strides: [1, 3] })],
      ["c", tensor(storage("LongStorage", "1", 1), [])],
    ),
  ],
  ["meta", reduce(global("argparse", "Namespace"))],
);
const DATA = { "0": f32(1, 2, 3, 4, 5, 6), "1": raw(7, 0, 0, 0, 0, 0, 0, 0) };

const FILES: readonly (readonly [string, () => Promise<Uint8Array>])[] = [
  ["a zip checkpoint", () => zipCheckpoint(ROOT, DATA)],
  ["a zip64 checkpoint", () => zipCheckpoint(ROOT, DATA, { zip64: true }, { zip64: true })],
  ["a deflated checkpoint", () => zipCheckpoint(ROOT, DATA, { deflate: true })],
  [
    "a legacy checkpoint",
    () => Promise.resolve(legacyCheckpoint(ROOT, { "0": [6, DATA["0"]], "1": [1, DATA["1"]] })),
  ],
];

for (const [name, make] of FILES) {
  test(`${name}, cut at every byte, is refused`, async () => {
    const bytes = await make();
    assertEquals((await readAll(bytes)).size, 3);
    for (let length = 0; length < bytes.length; length++) {
      const tensors = await attempt(bytes.subarray(0, length), `cut at ${length}`);
      assertEquals(tensors, null, `cut at ${length} of ${bytes.length}`);
    }
  });
}

for (const [name, make] of FILES) {
  const checked = !name.includes("legacy"); // the legacy format has no checksums
  test(`${name} with any byte changed is refused${checked ? " or right" : " or read"}`, async () => {
    const bytes = await make();
    const right = await readAll(bytes);
    for (let at = 0; at < bytes.length; at++) {
      for (const mask of [1, 0x80, 0xff]) {
        const damaged = bytes.slice();
        damaged[at] ^= mask;
        const tensors = await attempt(damaged, `byte ${at} ^ ${mask}`);
        if (tensors !== null && checked) assertEquals(tensors, right, `byte ${at} ^ ${mask}`);
      }
    }
  });
}

test("real checkpoints with random damage are refused or read", async () => {
  const rng = new Rng(3, "damage");
  for (const file of ["timm_style", "legacy_format", "mmengine", "odd_legacy"]) {
    const bytes = await loadFixture(`io/fixtures/torch/${file}.pth`);
    for (let round = 0; round < 150; round++) {
      const damaged = bytes.slice(0, rng.integer(4) === 0 ? rng.integer(bytes.length) : undefined);
      for (let hits = rng.integer(4); hits >= 0; hits--) {
        damaged[rng.integer(damaged.length)] = rng.integer(256);
      }
      await attempt(damaged, `${file}, round ${round}`);
    }
  }
});

test("random pickles in checkpoints are refused or read", async () => {
  const rng = new Rng(4, "random pickles");
  for (let round = 0; round < 300; round++) {
    await attempt(await zipCheckpoint(randomCode(rng, 4), DATA), `zip, round ${round}`);
    const legacy = legacyCheckpoint(randomCode(rng, 4), { "0": [6, DATA["0"]] });
    await attempt(legacy, `legacy, round ${round}`);
    const noise = Uint8Array.from({ length: rng.integer(200) }, () => rng.integer(256));
    await attempt(noise, `noise, round ${round}`);
  }
});

/** A random value, with numbers that fit and numbers that do not. */
function randomCode(rng: Rng, depth: number): Code {
  const inner = () => randomCode(rng, depth - 1);
  const some = () => Array.from({ length: rng.integer(3) }, inner);
  const number = () => [0, 1, 2, 3, 6, -1, 2 ** 31, 2 ** 53, -(2 ** 40)][rng.integer(9)];
  switch (depth === 0 ? rng.integer(4) : rng.integer(12)) {
    case 0:
      return none;
    case 1:
      return int(number());
    case 2:
      return str(["state_dict", "model", "0", "x"][rng.integer(4)]);
    case 3:
      return storage(["FloatStorage", "HalfStorage", "Foo"][rng.integer(3)], "0", number());
    case 4:
      return list(...some());
    case 5:
      return tuple(...some());
    case 6:
      return reduce(global("os", "system"), ...some());
    case 7:
      return reduce(global("torch._utils", "_rebuild_parameter"), ...some());
    case 8:
      return reduce(global("torch._tensor", "_rebuild_from_type_v2"), ...some());
    case 9: {
      const shape = Array.from({ length: rng.integer(4) }, number);
      const view = { offset: number(), strides: shape.map(number) };
      return tensor(storage("FloatStorage", "0", 6), shape, rng.integer(2) === 0 ? {} : view);
    }
    default:
      return dict(...some().map((code, i) => [["state_dict", "w", "v"][i], code] as const));
  }
}

// ---- what a damaged file is not, but somebody could make

const W: Code = tensor(storage("FloatStorage", "0", 6), [6]);

test("a state dict that holds itself, and one that is nested deep, are refused or read", async () => {
  // d = {"w": tensor}; d["self"] = d
  const cyclic = concat([
    raw(0x7d, 0x71, 0),
    ...[str("w"), W, raw(0x73)],
    ...[str("self"), raw(0x68, 0, 0x73)],
  ]);
  const bytes = await zipCheckpoint(cyclic, DATA);
  await assertRejects(
    () => TorchReader.open(bytes),
    CheckpointError,
    'tensors stand at its top and under "self": say which part is meant',
  );
  await assertRejects(
    () => TorchReader.open(bytes, { part: "" }),
    CheckpointError,
    'entry "self" holds a tensor inside a container',
  );
  const loop = concat([raw(0x5d, 0x71, 0), raw(0x68, 0, 0x61)]); // l = []; l.append(l)
  const beside = dict(["state_dict", dict(["w", W])], ["meta", loop]);
  assertEquals([...(await readAll(await zipCheckpoint(beside, DATA))).keys()], ["w"]);
  const deep = concat([none, new Uint8Array(500_000).fill(0x85)]); // (((…None,),),)
  await assertRejects(
    async () => await readAll(await zipCheckpoint(dict(["w", W], ["deep", deep]), DATA)),
    CheckpointError,
    "nested deeper than 1000",
  );
});

test("lists of lists of lists, each twice, are looked through once", async () => {
  // Level i + 1 is [level i, level i], kept under i + 1: 2^60 paths lead to the innermost list.
  const levels = Array.from(
    { length: 60 },
    (_, i) => raw(0x5d, 0x68, i, 0x61, 0x68, i, 0x61, 0x71, i + 1),
  );
  const make = concat([raw(0x28, 0x5d, 0x71, 0), ...levels, raw(0x31)]); // kept, then taken off the stack
  const root = concat([make, dict(["w", W], ["x", raw(0x68, 60)])]);
  const reader = await TorchReader.open(await zipCheckpoint(root, DATA));
  assertEquals(reader.dropped, [{ path: "x", what: "a list" }]);
});

test("one dict under many keys is looked through once", async () => {
  const many = Array.from({ length: 20_000 }, (_, i) => [`k${i}`, raw(0x68, 200)] as const);
  const numbers = concat([
    raw(0x7d, 0x28),
    ...Array.from({ length: 20_000 }, (_, i) => concat([int(i), none])),
    raw(0x75, 0x71, 200, 0x30),
  ]);
  const bytes = await zipCheckpoint(concat([numbers, dict(...many)]), DATA);
  await assertRejects(() => readAll(bytes), CheckpointError, "there is no state dict in it");
});

test("many names for one tensor are read up to a bound", async () => {
  const data = { "0": new Uint8Array(1 << 20) };
  const length = 1 << 18;
  const names = (count: number) => {
    const shared = concat([tensor(storage("FloatStorage", "0", length), [length]), raw(0x71, 9)]);
    const more = Array.from({ length: count }, (_, i) => [`n${i}`, raw(0x68, 9)] as const);
    return zipCheckpoint(dict(["w", shared], ...more), data);
  };
  assertEquals((await TorchReader.open(await names(12))).entries.size, 13);
  await assertRejects(
    async () => await TorchReader.open(await names(200)),
    CheckpointError,
    "bytes to read, from a file of",
  );
  // A slice costs little, but each must unpack the whole storage where that is deflated.
  const slices = Array.from(
    { length: 30 },
    (_, i) => [`s${i}`, tensor(storage("FloatStorage", "0", length), [1], { offset: i })] as const,
  );
  const stored = await TorchReader.open(await zipCheckpoint(dict(...slices), data));
  assertEquals(stored.entries.size, 30);
  await assertRejects(
    async () =>
      await TorchReader.open(await zipCheckpoint(dict(...slices), data, { deflate: true })),
    CheckpointError,
    "bytes to read, from a file of",
  );
});

test("a zip archive inside a zip archive is not opened", async () => {
  const inner = await zipCheckpoint(dict(["w", W]), DATA);
  const outer = await makeZip([{ name: "x/inner.pth", data: inner }]);
  await assertRejects(() => readAll(outer), CheckpointError, "no data.pkl");
  // Two pickles: which is meant is not guessed.
  const files = ["x/data.pkl", "y/data.pkl"].map((name) => ({
    name,
    data: pickle(dict(["w", W])),
  }));
  await assertRejects(
    async () => await readAll(await makeZip(files)),
    CheckpointError,
    "2 files data.pkl",
  );
});

test("a pickle must end where its file does", async () => {
  const files = [{ name: "x/data.pkl", data: concat([pickle(dict()), raw(0)]) }];
  await assertRejects(
    async () => await readAll(await makeZip(files)),
    CheckpointError,
    "1 bytes are left over after the pickle",
  );
});

test("legacy files whose storages are not what the object says are refused", async () => {
  const root = dict(["w", W]);
  const cases: readonly (readonly [Uint8Array, string])[] = [
    [legacyCheckpoint(root, {}), 'storage "0" is missing'],
    [legacyCheckpoint(root, { "0": [5, DATA["0"]] }), "has 5 elements instead of 6"],
    [legacyCheckpoint(root, { "0": [-1, DATA["0"]] }), "has -1 elements instead of 6"],
    [legacyCheckpoint(root, { "0": [6, f32(1)] }), "it is truncated"],
    [legacyCheckpoint(root, { "9": [6, DATA["0"]] }), "is not that of its tensors"],
    [concat([legacyCheckpoint(root, { "0": [6, DATA["0"]] }), raw(0)]), "1 bytes are left over"],
    [pickle(raw(0x8a, 10, ...new Array(10).fill(1))), "magic number is not PyTorch's"],
  ];
  for (const [bytes, message] of cases) {
    await assertRejects(() => TorchReader.open(bytes), CheckpointError, message);
  }
});

test("a legacy pickle of any length is read", async () => {
  const padding = str("x".repeat(300_000)); // more than what is read of the file at first
  const root = dict(["state_dict", dict(["w", W])], ["notes", padding]);
  const bytes = legacyCheckpoint(root, { "0": [6, DATA["0"]] });
  const reader = await TorchReader.open(bytesSource(bytes));
  assertEquals((await reader.read("w")).data, DATA["0"]);
});
