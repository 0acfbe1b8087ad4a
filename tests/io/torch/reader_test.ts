import { assert, assertEquals, assertRejects, loadFixture, test } from "../../harness.ts";
import { CheckpointError } from "../../../engine/errors.ts";
import { blobSource, type ByteSource, bytesSource } from "../../../io/byte_source.ts";
import { elementsOf, type FileDType, type NamedArray } from "../../../io/named_array.ts";
import { toFloat32 } from "../../../io/convert.ts";
import { TORCH_NAMES } from "../../../io/torch/dtypes.ts";
import { TorchReader } from "../../../io/torch/reader.ts";
import { concat } from "../zip_writer.ts";
import {
  dict,
  f32,
  global,
  int,
  legacyCheckpoint,
  list,
  none,
  raw,
  reduce,
  storage,
  str,
  tensor,
  tuple,
  zipCheckpoint,
} from "./pickle_writer.ts";

/** A file's tensors as `expected.json` has them. */
type Expected = Record<string, { shape: number[]; dtype: string; values: (number | bigint)[] }>;

const fixture = (name: string) => loadFixture(`io/fixtures/torch/${name}`);

async function fixtureJson<T>(name: string): Promise<T> {
  return JSON.parse(new TextDecoder().decode(await fixture(name)));
}

/** Values as numbers: what the floats are, integers to the nearest double. */
function numbers(array: NamedArray): number[] {
  const small = /^(F16|BF16|F8_.*)$/.test(array.dtype);
  return Array.from(small ? toFloat32(array) : elementsOf(array) as Float64Array, Number);
}

async function checkFile(reader: TorchReader, want: Expected): Promise<void> {
  assertEquals([...reader.entries.keys()], Object.keys(want));
  for (const [name, { dtype, shape }] of reader.entries) {
    const array = await reader.read(name);
    assertEquals([array.dtype, array.shape], [dtype, shape]);
    assertEquals([TORCH_NAMES[dtype], shape], [want[name].dtype, want[name].shape]);
    const values = numbers(array);
    const same = values.length === want[name].values.length &&
      want[name].values.every((value, i) => Object.is(values[i], Number(value)));
    assert(same, `${name}: got ${values}, want ${want[name].values}`);
  }
}

for (const name of ["timm_style", "mmcv_style", "legacy_format"]) {
  test(`TorchReader reads ${name}.pth as PyTorch does`, async () => {
    const reader = await TorchReader.open(await fixture(`${name}.pth`));
    await checkFile(reader, await fixtureJson("expected.json"));
    await reader.verify();
  });
}

test("TorchReader reads what timm, mmengine and others wrap around a state dict", async () => {
  const all = await fixtureJson<Record<string, Expected>>("wrappers.json");
  for (const [file, want] of Object.entries(all)) {
    await checkFile(await TorchReader.open(await fixture(file)), want);
  }
});

test("TorchReader names the parts of a file, what is dropped, and can take another part", async () => {
  const bytes = await fixture("timm_training.pth");
  const reader = await TorchReader.open(bytes);
  assertEquals([reader.format, reader.part], ["zip", "model"]);
  assertEquals(reader.beside, ["epoch", "arch", "model_ema", "optimizer", "args", "metric"]);
  assertEquals(reader.choices, ["model_ema"]);
  assertEquals(reader.dropped, [
    { path: "args", what: "argparse.Namespace" },
    { path: "metric", what: "numpy.core.multiarray.scalar" },
  ]);
  const ema = await TorchReader.open(bytes, { part: "model_ema" });
  const [a, b] = [numbers(await reader.read("fc.bias")), numbers(await ema.read("fc.bias"))];
  assertEquals(b, a.map((value) => Math.fround(value + 1)));
  await assertRejects(
    () => TorchReader.open(bytes, { part: "models" }),
    CheckpointError,
    'it has no "models", only "epoch", "arch", "model"',
  );
  await assertRejects(
    () => TorchReader.open(bytes, { part: "arch" }),
    CheckpointError,
    '"arch": is a string, not a dict of tensors',
  );
  await assertRejects(
    () => TorchReader.open(bytes, { part: "optimizer" }),
    CheckpointError,
    '"optimizer": entry "state" holds a tensor inside a container',
  );
});

test("TorchReader lists the stand-ins of an mmengine file and the plain data of a state dict", async () => {
  const mmengine = await TorchReader.open(await fixture("mmengine.pth"));
  assertEquals([mmengine.format, mmengine.part], ["zip", "state_dict"]);
  assertEquals(mmengine.dropped, [
    { path: "meta.seed", what: "numpy.core.multiarray.scalar" },
    { path: "meta.dataset_meta.CLASSES", what: "__builtin__.set" },
    { path: "message_hub", what: "mmengine.logging.message_hub.MessageHub" },
  ]);
  const odd = await TorchReader.open(await fixture("odd_legacy.pth"));
  assertEquals([odd.format, odd.part, odd.beside], ["legacy", null, []]);
  assertEquals(odd.dropped, [{ path: "count", what: "the integer 7" }]);
});

/** Each file that must be refused, and what its error must say. */
const BAD_FILES: readonly (readonly [string, string])[] = [
  ["complex", 'tensor "w": elements of type "complex64" are not read'],
  ["empty", "neither of PyTorch's file formats"],
  ["missing_storage", 'storage "0" is missing'],
  ["nested_tensor", '"state_dict": entry "x" holds a tensor inside a container'],
  ["no_data_pkl", "a zip archive with no data.pkl"],
  ["not_a_zip", "neither of PyTorch's file formats"],
  ["numpy_in_state_dict", 'entry "x" holds a numpy.core.multiarray._reconstruct, which is unknown'],
  ["one_tensor", "it holds a tensor, not a dict of tensors"],
  ["quantized", "it holds a torch._utils._rebuild_qtensor, which was not called"],
  ["reduce_os_system", "it holds a posix.system, which was not called"],
  ["short_storage", 'storage "0" has 5 bytes, 384 elements of float32 need 1536'],
  ["sparse", "it holds a torch._utils._rebuild_sparse_tensor, which was not called"],
  ["torchscript", "it is a TorchScript archive"],
  ["truncated", "a zip archive without an end; it is truncated"],
  ["two_parts", 'tensors stand under "a" and under "b": say which part is meant'],
  ["whole_module", "it holds a pickled __main__.Net, which would have to be executed"],
  ["zip_bomb", "a zip archive of 68960 bytes that unpacks to 67111403, the limit is 21190656"],
];

for (const [name, message] of BAD_FILES) {
  test(`TorchReader refuses ${name}.pth`, async () => {
    const bytes = await loadFixture(`io/fixtures/bad/${name}.pth`);
    const source = bytesSource(bytes, "some/file");
    await assertRejects(() => TorchReader.open(source), CheckpointError, `some/file: `);
    await assertRejects(() => TorchReader.open(source), CheckpointError, message);
  });
}

// ---- files that PyTorch 1.13 cannot write

const TWO = { "0": f32(1, 2) };

async function read(bytes: Uint8Array, name = "w"): Promise<NamedArray> {
  return await (await TorchReader.open(bytes)).read(name);
}

test("TorchReader reads element types of later versions, which the tensor names", async () => {
  const cases: [string, FileDType, number][] = [
    ["float8_e4m3fn", "F8_E4M3", 1],
    ["float8_e5m2", "F8_E5M2", 1],
    ["float8_e4m3fnuz", "F8_E4M3FNUZ", 1],
    ["float8_e5m2fnuz", "F8_E5M2FNUZ", 1],
    ["float8_e8m0fnu", "F8_E8M0", 1],
    ["uint16", "U16", 2],
    ["uint32", "U32", 4],
    ["uint64", "U64", 8],
  ];
  for (const [name, dtype, bytes] of cases) {
    const data = Uint8Array.from({ length: 3 * bytes }, (_, i) => i + 1);
    const id = tuple(
      str("storage"),
      global("torch.storage", "UntypedStorage"),
      str("0"),
      str("cpu"),
      int(data.length),
    );
    const value = reduce(
      global("torch._utils", "_rebuild_tensor_v3"),
      concat([id, raw(0x51)]),
      int(1),
      tuple(int(2)),
      tuple(int(1)),
      raw(0x89),
      reduce(global("collections", "OrderedDict")),
      global("torch", name),
    );
    const array = await read(await zipCheckpoint(dict(["w", value]), { "0": data }));
    assertEquals([array.dtype, array.shape, array.data], [dtype, [2], data.subarray(bytes)]);
  }
});

test("TorchReader reads files of Python 2 and PyTorch 0.3", async () => {
  const key = concat([raw(0x55, 1), raw(0x77)]); // SHORT_BINSTRING "w"
  const view = tuple(str("v"), int(1), int(2)); // the tensor sees elements 1 and 2 of the storage
  const value = reduce(
    global("torch._utils", "_rebuild_tensor"),
    storage("FloatStorage", "140", 4, view),
    int(0),
    tuple(int(2)),
    tuple(int(1)),
  );
  const root = reduce(global("collections", "OrderedDict"), list(list(key, value)));
  const bytes = legacyCheckpoint(root, { "140": [4, f32(9, 1, 2, 9)] });
  assertEquals(numbers(await read(bytes)), [1, 2]);
});

test("TorchReader reads deflated, zip64 and big-endian archives, and ones without checksums", async () => {
  const root = dict(["w", tensor(storage("FloatStorage", "0", 2), [2])]);
  for (const more of [{ deflate: true }, { zip64: true }, { crc: 0 }, { streamed: true }]) {
    const bytes = await zipCheckpoint(root, TWO, more, { zip64: "zip64" in more });
    assertEquals(numbers(await read(bytes)), [1, 2]);
  }
  const swapped = Float32Array.of(1, 2);
  const view = new DataView(swapped.buffer);
  [1, 2].forEach((value, i) => view.setFloat32(4 * i, value, false));
  const ordered = (text: string, data: Uint8Array) => {
    const byteorder = { name: "x/byteorder", data: new TextEncoder().encode(text) };
    return zipCheckpoint(root, { "0": data }, {}, {}, [byteorder]);
  };
  assertEquals(numbers(await read(await ordered("little", TWO["0"]))), [1, 2]);
  assertEquals(numbers(await read(await ordered("big", new Uint8Array(swapped.buffer)))), [1, 2]);
  await assertRejects(
    async () => await TorchReader.open(await ordered("middle", TWO["0"])),
    CheckpointError,
    'its byte order is "middle", not little or big',
  );
});

test("TorchReader reads a Blob range by range", async () => {
  const bytes = await fixture("timm_style.pth");
  const file = new File([bytes], "vit.pth");
  const reader = await TorchReader.open(file);
  await checkFile(reader, await fixtureJson("expected.json"));
  await assertRejects(() => reader.read("x"), CheckpointError, 'vit.pth: there is no tensor "x"');
  await assertRejects(
    () => TorchReader.open(blobSource(new Blob(["PK"]), "short")),
    CheckpointError,
    "short: a zip archive without an end",
  );
});

test("TorchReader holds no more than the header and one tensor", async () => {
  const large = new Float32Array(1 << 19).map((_, i) => i);
  const data = new Uint8Array(large.buffer);
  const value = dict(
    ["whole", tensor(storage("FloatStorage", "0", large.length), [large.length])],
    ["row", tensor(storage("FloatStorage", "0", large.length), [10], { offset: 1000 })],
    [
      "column",
      tensor(storage("FloatStorage", "0", large.length), [1024], { strides: [512], offset: 7 }),
    ],
  );
  for (
    const bytes of [
      await zipCheckpoint(value, { "0": data }),
      legacyCheckpoint(value, { "0": [large.length, data] }),
    ]
  ) {
    const inMemory = bytesSource(bytes);
    let most = 0;
    const source: ByteSource = {
      ...inMemory,
      read: (offset, length) => {
        most = Math.max(most, length);
        return inMemory.read(offset, length);
      },
    };
    const reader = await TorchReader.open(source);
    assert(most <= 1 << 17, `opening read ${most} bytes at once`);
    assertEquals(numbers(await reader.read("row")), [...large.subarray(1000, 1010)]);
    const column = numbers(await reader.read("column"));
    assertEquals(column, Array.from({ length: 1024 }, (_, i) => 7 + 512 * i));
    assert(most <= 1 << 20, `a small tensor read ${most} bytes at once`);
    assertEquals(elementsOf(await reader.read("whole")), large);
    assertEquals(most, data.length);
  }
});

test("TorchReader says which storage or view is wrong", async () => {
  const w = (numbers: Parameters<typeof tensor>[2], shape: (number | bigint)[] = [2]) =>
    dict(["w", tensor(storage("FloatStorage", "0", 2), shape, numbers)]);
  const cases: readonly (readonly [Uint8Array, string])[] = [
    [
      w({ offset: 1 }),
      'tensor "w": shape [2] with strides [1] from element 1 reaches element 2 of',
    ],
    [w({ strides: [2] }), "reaches element 2 of a storage with 2 elements"],
    [w({ strides: [-1], offset: 1 }), "must not be negative"],
    [w({ offset: -1 }), "must not be negative"],
    [w({ offset: 2n ** 62n }), "_rebuild_tensor_v2() does not take"],
    [w({}, [2 ** 30, 2 ** 30]), "more than 2^53 elements"],
    [w({}, [-2]), "-2 is not a whole number"],
    [w({ strides: [0] }, [1e9]), "take 4000000000 bytes to read, from a file of"],
    [w({ strides: [1, 1] }), "_rebuild_tensor_v2() does not take"],
    [w({}, Array(65).fill(1)), "_rebuild_tensor_v2() does not take"],
    [dict(["w", tensor(none, [2])]), "_rebuild_tensor_v2() does not take (None, the integer 0"],
    [dict(["w", tensor(storage("FooStorage", "0", 2), [2])]), "unknown class torch.FooStorage"],
    [dict(["w", tensor(storage("FloatStorage", "0", -2), [2])]), "does not describe a storage"],
    [dict(["w", tensor(storage("FloatStorage", "0", 2n ** 62n), [2])]), "does not describe a"],
    [dict(["w", tensor(storage("FloatStorage", "1", 2), [2])]), 'storage "1" is missing'],
    [dict(["w", tensor(storage("FloatStorage", "../0", 2), [2])]), 'storage "../0" is missing'],
    [dict(["w", tensor(storage("DoubleStorage", "0", 2), [2])]), "need 16"],
    [
      dict(
        ["w", tensor(storage("FloatStorage", "0", 2), [2])],
        ["x", tensor(storage("IntStorage", "0", 2), [2])],
      ),
      'storage "0" is described in two ways',
    ],
    [dict(["__proto__", tensor(storage("FloatStorage", "0", 2), [2])]), "cannot name a tensor"],
    [dict(), "there is no state dict in it; it has an empty dict"],
    [dict(["state_dict", dict()]), 'there is no state dict in it; it has "state_dict"'],
    [
      dict(["state_dict", reduce(global("evil", "Dict"))]),
      '"state_dict": is a evil.Dict, not a dict of tensors',
    ],
    [
      dict(["w", tensor(storage("FloatStorage", "0", 2), [2])], ["x", global("os", "system")]),
      'entry "x" holds the name os.system, which is unknown',
    ],
    [
      dict(["w", tensor(storage("FloatStorage", "0", 2), [2])], [
        "x",
        list(tuple(reduce(global("a", "b")))),
      ]),
      'entry "x" holds a a.b, which is unknown',
    ],
  ];
  for (const [root, message] of cases) {
    const bytes = await zipCheckpoint(root, TWO);
    await assertRejects(() => TorchReader.open(bytes), CheckpointError, message);
  }
});
