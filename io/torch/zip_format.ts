/**
 * PyTorch's file format since version 1.6: a zip archive with one folder, in which `data.pkl` is the pickle and `data/KEY`
 * the bytes of the storage KEY.
 * @module
 */
import { CheckpointError } from "../../engine/errors.ts";
import { type ByteSource, readExactly } from "../byte_source.ts";
import { excerpt } from "../strict_json.ts";
import { ZipArchive, type ZipEntry } from "../zip.ts";
import { torchConstructors, type TorchStorage } from "./constructors.ts";
import { MAX_PICKLE, type TorchFile } from "./torch_file.ts";
import { unpickle } from "./unpickler.ts";

/** What a file may unpack to: so much more than it has bytes. Weights hardly shrink; only a bomb needs more. */
const MAX_UNPACKED = { times: 64, plus: 16 << 20 };

/** How a file of this format starts. */
export function startsZipFormat(start: Uint8Array): boolean {
  return start[0] === 0x50 && start[1] === 0x4b;
}

/**
 * Reads and checks all but the storages' bytes.
 * @throws {CheckpointError} the archive or the pickle is damaged, hostile, or no checkpoint
 */
export async function openZipFormat(source: ByteSource): Promise<TorchFile> {
  const archive = await ZipArchive.open(source);
  checkUnpacked(archive, source.size);
  const folder = folderOf(archive);
  const pickle = archive.entries.get(`${folder}data.pkl`)!;
  if (archive.entries.has(`${folder}constants.pkl`)) {
    throw new CheckpointError("it is a TorchScript archive; save the model's state_dict() instead");
  }
  if (pickle.size > MAX_PICKLE) {
    throw new CheckpointError(`its pickle has ${pickle.size} bytes, the limit is ${MAX_PICKLE}`);
  }
  const storages = new Map<string, TorchStorage>();
  const bytes = await readEntry(archive, pickle);
  const { value, length } = unpickle(bytes, torchConstructors(storages));
  if (length !== bytes.length) {
    throw new CheckpointError(`${bytes.length - length} bytes are left over after the pickle`);
  }
  const entries = new Map<string, ZipEntry>();
  for (const storage of storages.values()) {
    const entry = archive.entries.get(`${folder}data/${storage.key}`);
    checkStorage(storage, entry);
    await archive.locate(entry);
    entries.set(storage.key, entry);
  }
  return {
    root: value,
    storages: {
      format: "zip",
      bigEndian: await isBigEndian(archive, folder),
      isPacked: (key) => entries.get(key)!.method === "deflated",
      verify: (key) => archive.verify(entries.get(key)!),
      open: (key) => archive.content(entries.get(key)!),
    },
  };
}

function checkStorage(
  storage: TorchStorage,
  entry: ZipEntry | undefined,
): asserts entry is ZipEntry {
  const what = `storage ${excerpt(storage.key)}`;
  if (entry === undefined) throw new CheckpointError(`${what} is missing`);
  if (entry.size !== storage.byteLength) {
    throw new CheckpointError(
      `${what} has ${entry.size} bytes, ${storage.length} elements of ` +
        `${storage.elements.torchName} need ${storage.byteLength}`,
    );
  }
}

/** The folder in which the pickle stands, with a "/" at its end. */
function folderOf(archive: ZipArchive): string {
  const pickles = [...archive.entries.keys()].filter((name) => /(^|\/)data\.pkl$/.test(name));
  if (pickles.length !== 1) {
    const what = pickles.length === 0 ? "no data.pkl" : `${pickles.length} files data.pkl`;
    throw new CheckpointError(`a zip archive with ${what}: it is no PyTorch checkpoint`);
  }
  return pickles[0].slice(0, -"data.pkl".length);
}

/** Checks what all deflated entries claim, before the first is unpacked. */
function checkUnpacked(archive: ZipArchive, fileSize: number): void {
  let claimed = 0;
  for (const { method, size } of archive.entries.values()) {
    if (method === "deflated") claimed += size;
  }
  const limit = MAX_UNPACKED.times * fileSize + MAX_UNPACKED.plus;
  if (claimed > limit) {
    throw new CheckpointError(
      `a zip archive of ${fileSize} bytes that unpacks to ${claimed}, the limit is ${limit}`,
    );
  }
}

async function readEntry(archive: ZipArchive, entry: ZipEntry): Promise<Uint8Array> {
  return await readExactly(await archive.content(entry), 0, entry.size);
}

/** PyTorch 2.1 and later write the machine's byte order; before, only little-endian machines did. */
async function isBigEndian(archive: ZipArchive, folder: string): Promise<boolean> {
  const entry = archive.entries.get(`${folder}byteorder`);
  if (entry === undefined) return false;
  const order = entry.size > 16 ? "" : new TextDecoder().decode(await readEntry(archive, entry));
  if (order !== "little" && order !== "big") {
    throw new CheckpointError(`its byte order is ${excerpt(order)}, not little or big`);
  }
  return order === "big";
}
