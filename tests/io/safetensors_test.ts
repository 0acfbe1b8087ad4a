import {
  assert,
  assertEquals,
  assertRejects,
  assertThrows,
  loadFixture,
  test,
} from "../harness.ts";
import { elementsOf, type FileDType, type NamedArray, namedArray } from "../../io/named_array.ts";
import { blobSource, type ByteSource, bytesSource } from "../../io/byte_source.ts";
import { readSafetensors, SafetensorsReader } from "../../io/safetensors.ts";
import { parseSafetensorsHeader } from "../../io/safetensors_header.ts";
import {
  streamSafetensors,
  type TensorToWrite,
  writeSafetensors,
} from "../../io/safetensors_write.ts";
import { DTYPE_BYTES } from "../../io/named_array.ts";
import { Rng } from "../../engine/random/host_rng.ts";
import { CheckpointError } from "../../engine/errors.ts";

/** A file with any header text, and data. */
function fileOf(header: string | Uint8Array, data = new Uint8Array(0)): Uint8Array {
  const text = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const file = new Uint8Array(8 + text.length + data.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  file.set(data, 8 + text.length);
  return file;
}

function headerOf(file: Uint8Array): string {
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  return new TextDecoder().decode(file.subarray(8, 8 + length));
}

test("readSafetensors() reads a file of another program", async () => {
  const { tensors, metadata } = await readSafetensors(
    await loadFixture("io/fixtures/ok.safetensors"),
  );
  assertEquals([...metadata], [["format", "pt"]]);
  assertEquals([...tensors.keys()], ["a"]);
  const a = tensors.get("a")!;
  assertEquals(a.shape, [3, 4]);
  assertEquals(elementsOf(a), Float32Array.from({ length: 12 }, (_, i) => i));
});

/** Each damaged or hostile file of the fixtures, and what its error must say. */
const BAD_FILES: readonly (readonly [string, string])[] = [
  ["duplicate_key", 'the key "a" stands twice'],
  ["header_100MB_claim", "claims a header of 120000000 bytes, the limit is 100000000"],
  ["hole", 'tensor "b" leaves a hole before it'],
  ["huge_header", "claims a header of 1099511627776 bytes"],
  ["invalid_utf8", "not valid UTF-8"],
  ["negative_dim", 'tensor "a": shape [-3,-4]: -3 is not a whole number >= 0'],
  ["not_json", "not proper JSON"],
  ["out_of_range", "it is truncated"],
  ["overflow_dim", "more than 2^53 elements"],
  ["overlap", 'tensor "b" overlaps the tensor before it'],
  ["proto_key", "the name __proto__ is not allowed"],
  ["seven_bytes", "at least 8 bytes, this has 7"],
  ["size_mismatch", 'tensor "a": F32 of shape [3,5] needs 60 bytes, its data_offsets hold 48'],
  ["trailing_bytes", "the rest belongs to no tensor"],
  ["unknown_dtype", 'tensor "a": unknown dtype "Q4"'],
];

for (const [name, message] of BAD_FILES) {
  test(`readSafetensors() refuses ${name}.safetensors`, async () => {
    const bytes = await loadFixture(`io/fixtures/bad/${name}.safetensors`);
    const start = performance.now();
    await assertRejects(() => readSafetensors(bytes), CheckpointError, message);
    assert(performance.now() - start < 2000, "a small file must be refused at once");
  });
}

test("parseSafetensorsHeader() refuses headers that are JSON but no header", () => {
  const entry = (text: string): string => `{"a":{${text}}}`;
  const good = `"dtype":"U8","shape":[1],"data_offsets":[0,1]`;
  const cases: [string, string][] = [
    ["[]", "must be a JSON object"],
    ["", "not proper JSON"],
    [" ", "not proper JSON"],
    [`\u{feff}${entry(good)}`, "not proper JSON"],
    [entry(good) + "\0", "not proper JSON"],
    ['{"a":1}', "its entry must be an object"],
    ['{"a":null}', "its entry must be an object"],
    [entry(`${good},"strides":[1]`), 'unknown field "strides"'],
    [entry(`"shape":[1],"data_offsets":[0,1]`), "unknown dtype undefined"],
    [entry(`"dtype":["U8"],"shape":[1],"data_offsets":[0,1]`), "unknown dtype an array"],
    [entry(`"dtype":"toString","shape":[1],"data_offsets":[0,1]`), 'unknown dtype "toString"'],
    [entry(`"dtype":"U8","data_offsets":[0,1]`), "shape must be an array"],
    [entry(`"dtype":"U8","shape":["1"],"data_offsets":[0,1]`), "shape must be an array"],
    [entry(`"dtype":"U8","shape":[1.0],"data_offsets":[0,1]`), "want a whole number"],
    [entry(`"dtype":"U8","shape":[1e0],"data_offsets":[0,1]`), "want a whole number"],
    [entry(`"dtype":"U8","shape":[-0],"data_offsets":[0,0]`), "not a whole number"],
    [entry(`"dtype":"U8","shape":[9007199254740993],"data_offsets":[0,1]`), "not a whole number"],
    [
      entry(`"dtype":"U8","shape":[${"1,".repeat(64)}1],"data_offsets":[0,1]`),
      "more than 64 items",
    ],
    [entry(`"dtype":"U8","shape":[1]`), "data_offsets must be two whole numbers"],
    [entry(`"dtype":"U8","shape":[1],"data_offsets":[0]`), "data_offsets must be two"],
    [entry(`"dtype":"U8","shape":[1],"data_offsets":[-1,0]`), "data_offsets must be two"],
    [entry(`"dtype":"U8","shape":[1],"data_offsets":[1,0]`), "run backwards"],
    [entry(`"dtype":"U8","shape":[1],"data_offsets":[1,2]`), "leaves a hole before it"],
    ['{"__metadata__":[]}', "object of strings"],
    ['{"__metadata__":{"a":1}}', 'object of strings; "a" is not one'],
    ['{"__metadata__":{"__proto__":"x"}}', "object of strings"],
    ['{"__metadata__":{},"__metadata__":{}}', "stands twice"],
  ];
  for (const [header, message] of cases) {
    const file = fileOf(header, new Uint8Array(1));
    assertThrows(() => parseSafetensorsHeader(file), CheckpointError, message);
  }
});

test("parseSafetensorsHeader() takes empty tensors and scalars wherever the header lists them", () => {
  const entry = (name: string, shape: string, offsets: string): string =>
    `"${name}":{"dtype":"U8","shape":${shape},"data_offsets":${offsets}}`;
  const fields = [
    entry("last", "[]", "[1,2]"),
    entry("full", "[1]", "[0,1]"),
    entry("empty", "[0,3]", "[0,0]"),
    entry("end", "[0]", "[2,2]"),
  ];
  const { tensors } = parseSafetensorsHeader(fileOf(`{${fields}}`, new Uint8Array(2)));
  assertEquals([...tensors.keys()], ["empty", "full", "last", "end"]);
});

test("parseSafetensorsHeader() wants the header's bytes, and keeps errors short", () => {
  const file = fileOf('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', new Uint8Array(1));
  assertThrows(() => parseSafetensorsHeader(file.subarray(0, 30), file.length), CheckpointError);
  const long = fileOf(`{"${"n".repeat(1e6)}":{"dtype":"${"d".repeat(1e6)}"}}`);
  const error = assertThrows(() => parseSafetensorsHeader(long), CheckpointError, "unknown dtype");
  assert(error.message.length < 500, `${error.message.length} characters`);
});

test("readSafetensors() refuses every truncation of a file, and never with another error", async () => {
  const file = writeSafetensors([["a", namedArray(Float32Array.of(1, 2))], [
    "b",
    namedArray(Uint8Array.of(3)),
  ]]);
  for (let length = 0; length < file.length; length++) {
    await assertRejects(() => readSafetensors(file.subarray(0, length)), CheckpointError);
  }
});

test("readSafetensors() answers any damaged byte with the data or a CheckpointError", async () => {
  const tensors: [string, NamedArray][] = [
    ["w", namedArray(Float32Array.of(1, 2, 3, 4), [2, 2])],
    ["é\n", namedArray(Int8Array.of(-1))],
  ];
  const file = writeSafetensors(tensors, [["k", "v"]]);
  const rng = new Rng(1, "damage");
  for (let i = 0; i < 3000; i++) {
    const damaged = file.slice();
    for (let hits = rng.integer(3); hits >= 0; hits--) {
      damaged[rng.integer(file.length)] = rng.integer(256);
    }
    try {
      await readSafetensors(damaged);
    } catch (error) {
      assert(error instanceof CheckpointError, `damage ${i}: ${error}`);
    }
  }
});

test("SafetensorsReader reads the header first and each tensor when asked", async () => {
  const file = writeSafetensors([
    ["small", namedArray(Uint8Array.of(7))],
    ["large", namedArray(Float32Array.of(1, 2, 3))],
  ]);
  const reads: [number, number][] = [];
  const source: ByteSource = {
    ...bytesSource(file, "some/file"),
    read(offset, length) {
      reads.push([offset, length]);
      return Promise.resolve(file.slice(offset, offset + length));
    },
  };
  const reader = await SafetensorsReader.open(source);
  const dataStart = file.length - 13;
  assertEquals(reads, [[0, 8], [0, dataStart]]);
  assertEquals([...reader.entries.keys()], ["large", "small"]);
  assertEquals(elementsOf(await reader.read("small")), Uint8Array.of(7));
  assertEquals(reads[2], [dataStart + 12, 1]);
  await assertRejects(
    () => reader.read("none"),
    CheckpointError,
    'some/file: there is no tensor "none"',
  );
});

test("SafetensorsReader reads a Blob", async () => {
  const file = writeSafetensors([["a", namedArray(Float32Array.of(1, 2))]]);
  const reader = await SafetensorsReader.open(new Blob([file]));
  assertEquals(elementsOf(await reader.read("a")), Float32Array.of(1, 2));
  await assertRejects(
    () => SafetensorsReader.open(blobSource(new Blob([file.subarray(0, 20)]), "cut")),
    CheckpointError,
    "cut: claims a header",
  );
});

test("parseSafetensorsHeader() names the element types that it knows and does not read", () => {
  for (const [dtype, why] of [["F4", "smaller than a byte"], ["C64", "complex numbers"]]) {
    const file = fileOf(`{"a":{"dtype":"${dtype}","shape":[1],"data_offsets":[0,8]}}`);
    const message = `dtype ${dtype} is not read, as its elements are ${why}; wgrad reads BOOL, U8`;
    assertThrows(() => parseSafetensorsHeader(file), CheckpointError, message);
  }
});

test("SafetensorsReader refuses a source that became shorter", async () => {
  const file = writeSafetensors([["a", namedArray(Float32Array.of(1, 2))]]);
  const cut = file.subarray(0, file.length - 1);
  const source: ByteSource = { ...bytesSource(cut, "cut"), size: file.length };
  const reader = await SafetensorsReader.open(source);
  await assertRejects(() => reader.read("a"), CheckpointError, "cut: got 7 of 8 bytes");
});

test("writeSafetensors() writes exactly the documented bytes", () => {
  const file = writeSafetensors(
    [["b", namedArray(Uint8Array.of(9))], ["a", namedArray(Float32Array.of(1), [])]],
    [["z", "1"], ["y", 'q"']],
  );
  const header = headerOf(file);
  assertEquals(
    header.trimEnd(),
    '{"__metadata__":{"y":"q\\"","z":"1"},' +
      '"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},' +
      '"b":{"dtype":"U8","shape":[1],"data_offsets":[4,5]}}',
  );
  assertEquals((8 + header.length) % 8, 0);
  assertEquals([...file.subarray(8 + header.length)], [0, 0, 0x80, 0x3f, 9]);
});

test("writeSafetensors() of nothing is a file", async () => {
  const { tensors, metadata } = await readSafetensors(writeSafetensors([]));
  assertEquals([tensors.size, metadata.size], [0, 0]);
});

test("writeSafetensors() refuses what a file cannot hold", () => {
  const one = namedArray(Uint8Array.of(1));
  const cases: [[string, NamedArray][], string][] = [
    [[["a", one], ["a", one]], 'tensor name "a" is given twice'],
    [[["__metadata__", one]], "cannot name a tensor"],
    [[["__proto__", one]], "cannot stand in a file"],
    [[["\ud800", one]], "cannot stand in a file"],
    [[["a", { ...one, shape: [2] }]], '"a" (U8 of shape [2]) needs 2 bytes, got 1'],
    [[["a", { ...one, shape: [-1] }]], "not a whole number"],
    [[["a", { ...one, dtype: "Q4" as FileDType }]], 'unknown dtype "Q4"'],
  ];
  for (const [tensors, message] of cases) {
    assertThrows(() => writeSafetensors(tensors), CheckpointError, message);
  }
  assertThrows(
    () => writeSafetensors([], [["a", "1"], ["a", "2"]]),
    CheckpointError,
    "given twice",
  );
});

test("random files come back as they were, and streaming writes the same bytes", async () => {
  const rng = new Rng(5, "files");
  for (let round = 0; round < 40; round++) {
    const tensors = new Map<string, NamedArray>();
    for (let i = rng.integer(12); i > 0; i--) tensors.set(randomName(rng), randomArray(rng));
    const metadata = new Map(
      Array.from({ length: rng.integer(4) }, () => [randomName(rng), randomName(rng)] as const),
    );
    const file = writeSafetensors(tensors, metadata);
    const shifted = new Uint8Array(file.length + 3); // so that no tensor lies at a multiple of its size
    shifted.set(file, 3);
    const content = await readSafetensors(shifted.subarray(3));
    assertEquals(new Map([...content.metadata].sort()), new Map([...metadata].sort()));
    assertEquals(content.tensors.size, tensors.size);
    for (const [name, array] of tensors) {
      const got = content.tensors.get(name)!;
      assertEquals([got.dtype, got.shape, got.data], [array.dtype, array.shape, array.data]);
    }
    const again = writeSafetensors([...content.tensors].reverse(), content.metadata);
    assertEquals(again, file);
    const lazy = [...tensors].map(([name, array]): [string, TensorToWrite] => [
      name,
      { ...array, data: () => Promise.resolve(array.data) },
    ]);
    assertEquals(await joined(streamSafetensors(lazy, metadata)), file);
  }
});

test("streamSafetensors() fetches a tensor only when the one before was taken", async () => {
  const log: string[] = [];
  const tensor = (name: string): [string, TensorToWrite] => [name, {
    dtype: "U8",
    shape: [1],
    data: () => {
      log.push(name);
      return Uint8Array.of(0);
    },
  }];
  const stream = streamSafetensors([tensor("a"), tensor("b")]);
  await stream.next();
  assertEquals(log, []);
  await stream.next();
  assertEquals(log, ["a"]);
  const short: TensorToWrite = { dtype: "F32", shape: [2], data: () => new Uint8Array(4) };
  await assertRejects(
    () => joined(streamSafetensors([["s", short]])),
    CheckpointError,
    "needs 8 bytes",
  );
});

async function joined(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const bytes: number[] = [];
  for await (const chunk of chunks) bytes.push(...chunk);
  return Uint8Array.from(bytes);
}

function randomArray(rng: Rng): NamedArray {
  const dtypes = Object.keys(DTYPE_BYTES) as FileDType[];
  const dtype = dtypes[rng.integer(dtypes.length)];
  const shape = Array.from({ length: rng.integer(5) }, () => rng.integer(5));
  const bytes = shape.reduce((a, b) => a * b, 1) * DTYPE_BYTES[dtype];
  return { dtype, shape, data: Uint8Array.from({ length: bytes }, () => rng.integer(256)) };
}

function randomName(rng: Rng): string {
  const letters = ["a", "b", ".", "0", '"', "\\", "é", "\u{1f600}", "\n", "\u0000"];
  return Array.from({ length: 3 + rng.integer(6) }, () => letters[rng.integer(letters.length)])
    .join("");
}
