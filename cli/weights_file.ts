/**
 * A file of weights that was named on the command line: a path, or an address of the web.
 * @module
 */
import { fileStore, openFileSource } from "../io/files.ts";
import { type ByteSource, downloadWeights } from "../io/mod.ts";
import { UsageError } from "./main.ts";
import { Progress } from "./progress.ts";

/**
 * Opens a file of weights. `https://…#sha256=HEX` is downloaded once and kept in the user's cache folder.
 * @throws {CheckpointError} there is no such file, or it cannot be downloaded
 * @throws {UsageError} an address without the hash of what it should give
 */
export async function openWeightsFile(name: string): Promise<ByteSource & AsyncDisposable> {
  if (!/^https?:\/\//.test(name)) return await openFileSource(name);
  const url = new URL(name);
  const sha256 = new URLSearchParams(url.hash.slice(1)).get("sha256");
  if (sha256 === null) {
    throw new UsageError(
      `${name}: add #sha256=HEX, the hash of the file, so that no other file is taken for it; the page it comes from ` +
        "shows it (Hugging Face does for each large file), or download it once and run sha256sum",
    );
  }
  url.hash = "";
  let bar: Progress | undefined;
  const onProgress = (received: number, total: number | null): void => {
    const mebibytes = (bytes: number): number => Math.ceil(bytes / 2 ** 20);
    bar ??= new Progress("download", mebibytes(total ?? received));
    bar.update(mebibytes(received), "MiB");
  };
  const onWarning = (message: string): void => console.error(`wgrad: ${message}`);
  const file = await downloadWeights(url, { sha256, store: fileStore(), onProgress, onWarning });
  bar?.finish("MiB");
  return file;
}
