/** Downloads kept by their hash, in Deno and in Chrome; the server is a stand-in for `fetch`. */
import { assert, assertEquals, assertRejects, test } from "../harness.ts";
import { CheckpointError, DataError } from "../../engine/errors.ts";
import {
  bytesSource,
  cacheStore,
  type DownloadStore,
  downloadWeights,
  namedArray,
  openWeights,
  toFloat32,
  writeSafetensors,
} from "../../io/mod.ts";

const URL = "https://example.invalid/vit.safetensors";
const FILE = writeSafetensors([["head.bias", namedArray(Float32Array.of(1, 2, 3), [3])]]);

async function hashOf(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Answers every `fetch` of `work`, and counts them. */
async function withServer(
  answer: (init?: RequestInit) => Response | Promise<Response>,
  work: () => Promise<void>,
): Promise<number> {
  const original = globalThis.fetch;
  let requests = 0;
  globalThis.fetch = async (_url, init) => {
    requests++;
    return await answer(init);
  };
  try {
    await work();
  } finally {
    globalThis.fetch = original;
  }
  return requests;
}

/** A store in memory that refuses what it is told to. */
class MemoryStore implements DownloadStore {
  readonly label = "the test's store";
  readonly files = new Map<string, Uint8Array>();
  constructor(readonly refuses: "nothing" | "keep" | "open" = "nothing") {}

  open(sha256: string) {
    if (this.refuses === "open") return Promise.reject(new Error("no permission"));
    const bytes = this.files.get(sha256);
    return Promise.resolve(bytes ? bytesSource(bytes) : null);
  }

  async keep(sha256: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const parts: Uint8Array[] = [];
    for await (const chunk of chunks) {
      if (this.refuses === "keep") throw new DOMException("full", "QuotaExceededError");
      parts.push(chunk);
    }
    this.files.set(sha256, Uint8Array.from(parts.flatMap((part) => [...part])));
  }
}

/** A body of some chunks, which may end in an error or never. */
function body(chunks: readonly Uint8Array<ArrayBuffer>[], end: "end" | "error" | "never" = "end") {
  let i = 0;
  return new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull(controller): void | Promise<void> {
      if (i < chunks.length) controller.enqueue(chunks[i++]);
      else if (end === "end") controller.close();
      else if (end === "error") controller.error(new TypeError("connection reset"));
      else return new Promise(() => {});
    },
  });
}

const chunked = (): Uint8Array<ArrayBuffer>[] => [FILE.slice(0, 10), FILE.slice(10)];

test("a download is fetched once and kept by its hash", async () => {
  const sha256 = await hashOf(FILE), store = new MemoryStore(), seen: (number | null)[][] = [];
  const headers = { "content-length": String(FILE.length) };
  const requests = await withServer(() => new Response(body(chunked()), { headers }), async () => {
    for (const [hash, url] of [[sha256, URL], [sha256.toUpperCase(), `${URL}?mirror`]]) {
      await using file = await downloadWeights(url, {
        sha256: hash,
        store,
        onProgress: (...args) => seen.push(args),
      });
      assertEquals([file.kept, file.size, file.label], [true, FILE.length, url]);
      const array = await (await openWeights(file)).read("head.bias");
      assertEquals([...toFloat32(array)], [1, 2, 3]);
    }
  });
  assertEquals(requests, 1);
  assertEquals(seen, [[10, FILE.length], [FILE.length, FILE.length]]);
});

test("a download lives in the Cache API between visits, and off line", async () => {
  const sha256 = await hashOf(FILE), name = `wgrad-test-${crypto.randomUUID()}`;
  try {
    const requests = await withServer(() => new Response(body(chunked())), async () => {
      await using file = await downloadWeights(URL, { sha256, store: cacheStore(name) });
      assert(file.kept);
    });
    assertEquals(requests, 1);
    await withServer(() => Promise.reject(new TypeError("off line")), async () => {
      await using file = await downloadWeights(URL, { sha256, store: cacheStore(name) });
      assertEquals(new Uint8Array(await file.read(0, FILE.length)), FILE);
    });
    const other = "0".repeat(64);
    await withServer(() => new Response(body(chunked())), async () => {
      await assertRejects(
        () => downloadWeights(URL, { sha256: other, store: cacheStore(name) }),
        CheckpointError,
        "not 0000",
      );
    });
    assertEquals(await cacheStore(name).open(other), null); // nothing wrong is kept
  } finally {
    await caches.delete(name);
  }
});

test("a download stays in memory, with a warning, where it cannot be kept", async () => {
  const sha256 = await hashOf(FILE);
  for (const refuses of ["keep", "open"] as const) {
    const warnings: string[] = [], store = new MemoryStore(refuses);
    await withServer(() => new Response(body(chunked())), async () => {
      await using file = await downloadWeights(URL, {
        sha256,
        store,
        onWarning: (text) => warnings.push(text),
      });
      assertEquals(file.kept, false);
      assertEquals(new Uint8Array(await file.read(0, FILE.length)), FILE);
    });
    assert(warnings.length > 0 && warnings.every((text) => text.startsWith(`${URL}: cannot`)));
    assert(warnings[0].includes("the test's store"), warnings[0]);
  }
  await withServer(() => new Response(body(chunked())), async () => {
    await using file = await downloadWeights(URL, { sha256, store: null });
    assertEquals([file.kept, file.size], [false, FILE.length]);
  });
});

test("a download that goes wrong says how, and nothing of it is kept", async () => {
  const sha256 = await hashOf(FILE), damaged = FILE.slice();
  damaged[damaged.length - 1] ^= 1;
  const gone = { status: 404, statusText: "Not Found" };
  const cases: [() => Response | Promise<Response>, string][] = [
    [
      () => new Response(body([damaged])),
      `have the SHA-256 ${await hashOf(damaged)}, not ${sha256}`,
    ],
    [() => new Response(body([FILE.slice(0, 9)])), "its 9 bytes have the SHA-256"],
    [() => new Response("no", gone), "the server answers 404 Not Found"],
    [
      () => new Response(body(chunked(), "error")),
      "the download failed: TypeError: connection reset",
    ],
    [() => Promise.reject(new TypeError("off line")), "the download failed: TypeError: off line"],
    [() => new Response(body(chunked(), "never")), "no byte came for 20 ms"],
  ];
  for (const [answer, message] of cases) {
    for (const store of [new MemoryStore(), null]) {
      await withServer(answer, async () => {
        const options = { sha256, store, stallTimeout: 20 };
        await assertRejects(() => downloadWeights(URL, options), CheckpointError, message);
      });
      assertEquals(store?.files.size ?? 0, 0);
    }
  }
  await assertRejects(() => downloadWeights(URL, { sha256: "abc" }), DataError, "64 hexadecimal");
});

test("a download stops when it is told to", async () => {
  const sha256 = await hashOf(FILE), controller = new AbortController(), store = new MemoryStore();
  await withServer(() => new Response(body(chunked(), "never")), async () => {
    const download = downloadWeights(URL, {
      sha256,
      store,
      signal: controller.signal,
      onProgress: (received) => {
        if (received === FILE.length) controller.abort(new DOMException("enough", "AbortError"));
      },
    });
    await assertRejects(() => download, DOMException, "enough");
  });
  assertEquals(store.files.size, 0);
});
