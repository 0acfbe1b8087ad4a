import { assert, assertEquals, assertRejects, test } from "../harness.ts";
import { CheckpointError } from "../../engine/errors.ts";
import { type ByteSource, bytesSource, readExactly } from "../../io/byte_source.ts";
import { crc32 } from "../../io/crc32.ts";
import { ZipArchive } from "../../io/zip.ts";
import { concat, makeZip, type ZipFile, type ZipOptions } from "./zip_writer.ts";

const text = new TextEncoder();
const A: ZipFile = { name: "x/a", data: text.encode("hello world") };
const B: ZipFile = { name: "x/é", data: Uint8Array.from({ length: 1000 }, (_, i) => i % 7) };

async function contents(zip: Uint8Array): Promise<[string, Uint8Array][]> {
  const archive = await ZipArchive.open(bytesSource(zip));
  const found: [string, Uint8Array][] = [];
  for (const entry of archive.entries.values()) {
    const source = await archive.content(entry);
    assertEquals(source.size, entry.size);
    found.push([entry.name, await readExactly(source, 0, source.size)]);
  }
  return found;
}

test("crc32() is the checksum of zip files, at once or in parts", () => {
  assertEquals(crc32(text.encode("123456789")), 0xcbf43926); // the value that all descriptions give
  assertEquals(crc32(new Uint8Array(0)), 0);
  const bytes = Uint8Array.from({ length: 100 }, (_, i) => i * 37);
  for (let cut = 0; cut <= 100; cut++) {
    assertEquals(crc32(bytes.subarray(cut), crc32(bytes.subarray(0, cut))), crc32(bytes));
  }
});

const GOOD: readonly (readonly [string, ZipFile[], ZipOptions])[] = [
  ["stored entries", [A, B], {}],
  ["deflated entries", [{ ...A, deflate: true }, { ...B, deflate: true }], {}],
  ["empty entries", [{ ...A, data: new Uint8Array(0) }, B], {}],
  ["zip64 records", [A, B], { zip64: true }],
  ["zip64 entries", [{ ...A, zip64: true }, { ...B, zip64: true, deflate: true }], { zip64: true }],
  ["streamed entries", [{ ...A, streamed: true }, { ...B, streamed: true }], {}],
  ["padded entries", [{ ...A, padding: 53 }, B], {}],
  ["a comment", [A, B], { comment: "a comment that holds PK\x05\x06, which ends no archive" }],
  ["checksums that were left out", [{ ...A, crc: 0 }, B], {}],
];

for (const [name, files, options] of GOOD) {
  test(`ZipArchive reads ${name}`, async () => {
    const want = files.map(({ name, data }) => [name, data]);
    assertEquals(await contents(await makeZip(files, options)), want);
  });
}

test("ZipArchive leaves folders out, and reads an archive of nothing", async () => {
  assertEquals(await contents(await makeZip([{ name: "x/", data: new Uint8Array(0) }, A])), [
    [A.name, A.data],
  ]);
  assertEquals(await contents(await makeZip([])), []);
});

/** Each damaged or hostile archive, and what the error must say. */
const BAD: readonly (readonly [string, ZipFile[], ZipOptions, string])[] = [
  ["two entries of one name", [A, A], {}, '"x/a": stands twice'],
  ["entries that overlap", [A, { ...B, offset: 20 }], {}, "overlaps what follows it"],
  ["entries at one place", [A, { ...B, offset: 0 }], {}, "overlaps what follows it"],
  ["an entry beyond the file", [A, { ...B, offset: 1e6 }], {}, "overlaps what follows it"],
  ["an entry longer than the file", [{ ...A, size: 5000, packedSize: 5000 }], {}, "overlaps what"],
  [
    "an entry of exabytes",
    [{ ...A, zip64: true, packedSize: 2 ** 60, size: 2 ** 60 }],
    {},
    "overlaps",
  ],
  ["a name that is not UTF-8", [{ ...A, name: Uint8Array.of(0xff, 0xfe) }], {}, "not valid UTF-8"],
  ["a header of another name", [{ ...A, localName: "x/b" }], {}, "and the directory disagree"],
  ["a header that is none", [A, { ...B, offset: 5, size: 0, packedSize: 0 }], {}, "overlaps what"],
  ["encrypted entries", [{ ...A, flags: 1 }], {}, "is encrypted"],
  ["an unknown method", [{ ...A, method: 12 }], {}, "packed by method 12"],
  ["a stored entry of two sizes", [{ ...A, size: 12 }], {}, "is stored, yet has 11 bytes for 12"],
  ["a wrong checksum", [{ ...A, crc: 1 }], {}, "the checksum is wrong"],
  [
    "a wrong checksum of a deflated entry",
    [{ ...B, deflate: true, crc: 1 }],
    {},
    "checksum is wrong",
  ],
  ["stored bytes said to be deflated", [{ ...A, method: 8 }], {}, "cannot be unpacked"],
  ["an entry that unpacks to more", [{ ...B, deflate: true, size: 999 }], {}, "more than the 999"],
  [
    "an entry that unpacks to less",
    [{ ...B, deflate: true, size: 1001 }],
    {},
    "1000 instead of the 1001",
  ],
  ["fewer entries than claimed", [A, { ...B, name: "b".repeat(60) }], { count: 3 }, "not the 3"],
  ["more entries than claimed", [A, B], { count: 1 }, "has 2 entries, not the 1"],
  ["more entries than bytes", [A, B], { count: 60000 }, "does not end where"],
];

for (const [name, files, options, message] of BAD) {
  test(`ZipArchive refuses ${name}`, async () => {
    const zip = await makeZip(files, options);
    await assertRejects(() => contents(zip), CheckpointError, message);
  });
}

test("ZipArchive refuses data in front of the archive and behind it", async () => {
  const zip = await makeZip([A, B], { zip64: true });
  await assertRejects(
    () => contents(concat([A.data, zip])),
    CheckpointError,
    "not where it is said",
  );
  const old = await makeZip([A, B]);
  await assertRejects(() => contents(concat([A.data, old])), CheckpointError, "does not end where");
  await assertRejects(() => contents(concat([old, A.data])), CheckpointError, "without an end");
});

test("ZipArchive refuses an unpacked entry as soon as it is too long", async () => {
  // 32 MiB of zeros in 32 KiB, said to be 10 bytes.
  const zeros = new Blob(Array(32).fill(new Uint8Array(1 << 20)));
  const stream = zeros.stream().pipeThrough(new CompressionStream("deflate-raw"));
  const packed = new Uint8Array(await new Response(stream).arrayBuffer());
  const zip = await makeZip([{ name: "a", data: packed, method: 8, size: 10 }]);
  let read = 0;
  const source = bytesSource(zip);
  const counting: ByteSource = {
    ...source,
    read: (offset, length) => {
      read += length;
      return source.read(offset, length);
    },
  };
  const archive = await ZipArchive.open(counting);
  read = 0;
  const [entry] = archive.entries.values();
  await assertRejects(() => archive.content(entry), CheckpointError, "unpacks to more than the 10");
  assert(read < packed.length, `${read} of ${packed.length} bytes were read`);
});

test("ZipArchive compares a checksum before it hands out a part of an entry, and once", async () => {
  const zip = await makeZip([B]);
  let read = 0;
  const source = bytesSource(zip);
  const counting: ByteSource = {
    ...source,
    read: (offset, length) => {
      read += length;
      return source.read(offset, length);
    },
  };
  const archive = await ZipArchive.open(counting);
  const [entry] = archive.entries.values();
  const content = await archive.content(entry);
  assertEquals([...await content.read(10, 3)], [3, 4, 5]);
  read = 0;
  await content.read(20, 3);
  await archive.verify(entry);
  assertEquals(read, 3);
  const damaged = zip.slice();
  damaged[500] ^= 1;
  const other = await ZipArchive.open(bytesSource(damaged));
  const [bad] = other.entries.values();
  await assertRejects(
    async () => await (await other.content(bad)).read(10, 3),
    CheckpointError,
    "the checksum is wrong",
  );
});
