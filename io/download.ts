// deno-lint-ignore-file no-import-prefix -- a full specifier lets io/mod.ts be imported by URL, with no import map
/**
 * Downloads that are kept by the hash of their contents: fetched once, checked while they arrive, and there without a
 * network afterwards.
 *
 * A file is read tensor by tensor from where it is kept, so a checkpoint of gigabytes never lies in memory whole. Where it
 * cannot be kept (the browser's quota is used up, the disk is full, the folder is read-only) it stays in memory, with a
 * warning. Which bytes are right is decided by the SHA-256 that the caller states, never by the server.
 *
 * Browsers keep downloads in the Cache API (`cacheStore`), Deno and Node in a folder (`fileStore` in `io/files.ts`).
 * @module
 */
import { sha256 as createSha256 } from "npm:@noble/hashes@2.4.0/sha2.js";
import { CheckpointError, DataError } from "../engine/errors.ts";
import { blobSource, type ByteSource } from "./byte_source.ts";

/** Where downloads are kept. */
export interface DownloadStore {
  /** Names the place in warnings. */
  readonly label: string;
  /** What is kept under a hash; null where nothing is. */
  open(sha256: string): Promise<ByteSource & Partial<AsyncDisposable> | null>;
  /** Keeps a file. Where the chunks end in an error nothing is kept, and the error passes through. */
  keep(sha256: string, chunks: AsyncIterable<Uint8Array<ArrayBuffer>>): Promise<void>;
}

/** Options of `downloadWeights`. */
export interface DownloadOptions {
  /** SHA-256 of the whole file as 64 hexadecimal digits, as `sha256sum` prints it and Hugging Face shows it. */
  readonly sha256: string;
  /** Where it is kept; null: only in memory. Default: `cacheStore()` where the Cache API is, else memory. */
  readonly store?: DownloadStore | null;
  /** Told how much has arrived, in bytes; `total` is null where the server does not say. Not called for a kept file. */
  readonly onProgress?: (received: number, total: number | null) => void;
  /** Told why a file could not be kept. Default: `console.warn`. */
  readonly onWarning?: (message: string) => void;
  /** Stops the download. */
  readonly signal?: AbortSignal;
  /** Milliseconds without a byte after which the download is given up. Default 60,000. */
  readonly stallTimeout?: number;
}

/** A downloaded file, open for reading. */
export interface Download extends ByteSource, AsyncDisposable {
  /** Whether the next call will find it kept. */
  readonly kept: boolean;
}

/**
 * Opens a file of the web, downloading it unless it is kept.
 * @example
 * ```ts ignore
 * await using file = await downloadWeights("https://example.org/vit_tiny.safetensors", {
 *   sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
 * });
 * const report = await loadPretrained(model, weightsSource(await openWeights(file)));
 * ```
 * @throws {CheckpointError} the server cannot be reached, refuses, stops sending, or sends other bytes than the hash's
 * @throws {DataError} the hash is none
 * @throws the signal's reason, when it is aborted
 */
export async function downloadWeights(
  url: string | URL,
  options: DownloadOptions,
): Promise<Download> {
  const { store = "caches" in globalThis ? cacheStore() : null, onWarning = console.warn } =
    options;
  const hash = options.sha256.toLowerCase(), label = String(url);
  if (!/^[0-9a-f]{64}$/.test(hash)) {
    throw new DataError(`${label}: sha256 must be 64 hexadecimal digits, got "${options.sha256}"`);
  }
  if (store !== null) {
    const kept = await openKept(store, hash, label, onWarning);
    if (kept) return kept;
    const transfer = new Transfer(label, hash, options);
    try {
      await store.keep(hash, transfer.chunks());
      const source = await store.open(hash);
      if (source !== null) return asDownload(source, label, true);
    } catch (error) {
      if (transfer.failure !== null) throw transfer.failure; // not the store's fault
      onWarning(`${label}: cannot be kept in ${store.label}, it stays in memory: ${error}`);
    }
  }
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for await (const chunk of new Transfer(label, hash, options).chunks()) parts.push(chunk);
  return asDownload(blobSource(new Blob(parts)), label, false);
}

/** What is kept; null, with a warning, where the store itself fails. */
async function openKept(
  store: DownloadStore,
  hash: string,
  label: string,
  onWarning: (message: string) => void,
): Promise<Download | null> {
  try {
    const source = await store.open(hash);
    return source && asDownload(source, label, true);
  } catch (error) {
    onWarning(`${label}: cannot look into ${store.label}, downloading: ${error}`);
    return null;
  }
}

function asDownload(
  source: ByteSource & Partial<AsyncDisposable>,
  label: string,
  kept: boolean,
): Download {
  return {
    size: source.size,
    label,
    kept,
    read: (offset, length) => source.read(offset, length),
    [Symbol.asyncDispose]: async () => await source[Symbol.asyncDispose]?.(),
  };
}

/** One download on its way. */
class Transfer {
  readonly #url: string;
  readonly #hash: string;
  readonly #options: DownloadOptions;
  #failure: unknown = null;

  constructor(url: string, hash: string, options: DownloadOptions) {
    this.#url = url;
    this.#hash = hash;
    this.#options = options;
  }

  /** Why the download itself went wrong; null where it did not, whatever became of whoever took its chunks. */
  get failure(): unknown {
    return this.#failure;
  }

  /** The bytes as they arrive; ends in an error where they are not those of the hash. */
  async *chunks(): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
    const { signal, stallTimeout = 60_000 } = this.#options;
    const stall = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const expectBytes = (): void => {
      clearTimeout(timer);
      timer = setTimeout(
        () => stall.abort(new CheckpointError(`${this.#url}: no byte came for ${stallTimeout} ms`)),
        stallTimeout,
      );
    };
    try {
      expectBytes();
      const stop = AbortSignal.any([stall.signal, ...(signal ? [signal] : [])]);
      const { body, total } = await this.#request(stop);
      const digest = createSha256.create(), reader = body.getReader();
      const cancel = (): Promise<void> => reader.cancel().catch(() => {}); // it may be broken already
      stop.addEventListener("abort", cancel); // a read that waits ends then
      let received = 0;
      try {
        for (let next = await reader.read(); !next.done; next = await reader.read()) {
          clearTimeout(timer); // whoever takes the chunk may take their time
          digest.update(next.value);
          received += next.value.byteLength;
          this.#options.onProgress?.(received, total);
          yield next.value;
          expectBytes();
        }
        stop.throwIfAborted();
      } finally {
        await cancel();
      }
      this.#check(hex(digest.digest()), received);
    } catch (cause) {
      if (signal?.aborted) this.#failure = signal.reason;
      else if (stall.signal.aborted) this.#failure = stall.signal.reason;
      else if (cause instanceof CheckpointError) this.#failure = cause;
      else {
        const message = `${this.#url}: the download failed: ${cause}`;
        this.#failure = new CheckpointError(message, { cause });
      }
      throw this.#failure;
    } finally {
      clearTimeout(timer);
    }
  }

  async #request(
    signal: AbortSignal,
  ): Promise<{ body: ReadableStream<Uint8Array<ArrayBuffer>>; total: number | null }> {
    const response = await fetch(this.#url, { signal });
    if (!response.ok || response.body === null) {
      await response.body?.cancel();
      throw new CheckpointError(
        `${this.#url}: the server answers ${response.status} ${response.statusText}`.trimEnd(),
      );
    }
    const length = response.headers.get("content-length");
    const encoded = response.headers.get("content-encoding") !== null; // the length is that of the packed bytes
    return { body: response.body, total: length === null || encoded ? null : Number(length) };
  }

  #check(got: string, received: number): void {
    if (got === this.#hash) return;
    throw new CheckpointError(
      `${this.#url}: its ${received} bytes have the SHA-256 ${got}, not ${this.#hash}; ` +
        `the file was changed, or the hash is another file's`,
    );
  }
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Keeps downloads in the browser's Cache API, where they last until the site's data is deleted or space runs short. Needs
 * a page served by https or from localhost.
 * @param name of the cache; default "wgrad-downloads"
 */
export function cacheStore(name = "wgrad-downloads"): DownloadStore {
  const keyOf = (sha256: string): string => `https://downloads.wgrad.invalid/${sha256}`;
  return {
    label: `the browser's cache "${name}"`,
    async open(sha256): Promise<ByteSource | null> {
      const response = await (await caches.open(name)).match(keyOf(sha256));
      return response ? blobSource(await response.blob()) : null;
    },
    async keep(sha256, chunks): Promise<void> {
      await (await caches.open(name)).put(keyOf(sha256), new Response(streamOf(chunks)));
    },
  };
}

/** Chunks as a stream that ends in their error. */
function streamOf(
  chunks: AsyncIterable<Uint8Array<ArrayBuffer>>,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const iterator = chunks[Symbol.asyncIterator]();
  return new ReadableStream({
    async pull(controller): Promise<void> {
      const { done, value } = await iterator.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    async cancel(): Promise<void> {
      await iterator.return?.();
    },
  });
}
