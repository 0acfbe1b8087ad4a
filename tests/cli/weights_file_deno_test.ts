/** Weights named on the command line by an address of the web, from a server of the test's own. */
import { join } from "node:path";
import { UsageError } from "../../cli/main.ts";
import { openWeightsFile } from "../../cli/weights_file.ts";
import { fileStore } from "../../io/files.ts";
import { CheckpointError } from "../../engine/errors.ts";
import { assert, assertEquals, assertRejects, denoTest, loadFixture } from "../harness.ts";

async function inCacheFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "wgrad_cache_" });
  const before = Deno.env.get("XDG_CACHE_HOME");
  Deno.env.set("XDG_CACHE_HOME", folder);
  try {
    await work(folder);
  } finally {
    if (before === undefined) Deno.env.delete("XDG_CACHE_HOME");
    else Deno.env.set("XDG_CACHE_HOME", before);
    await Deno.remove(folder, { recursive: true });
  }
}

async function served(bytes: Uint8Array<ArrayBuffer>) {
  let requests = 0;
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
    requests++;
    if (!request.url.endsWith(".safetensors")) return new Response("none", { status: 404 });
    return new Response(bytes);
  });
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return {
    address: `http://127.0.0.1:${server.addr.port}/vit.safetensors`,
    sha256,
    requests: () => requests,
    stop: () => server.shutdown(),
  };
}

denoTest(
  "an address with its hash is downloaded once and read from the cache folder after",
  async () => {
    const bytes = new Uint8Array(await loadFixture("io/fixtures/ok.safetensors"));
    const server = await served(bytes);
    await inCacheFolder(async (folder) => {
      const read = async (): Promise<Uint8Array> => {
        await using file = await openWeightsFile(`${server.address}#sha256=${server.sha256}`);
        return await file.read(0, file.size);
      };
      try {
        assertEquals(await read(), bytes);
        assertEquals(await read(), bytes);
        assertEquals(server.requests(), 1);
        await assertRejects(
          () =>
            openWeightsFile(
              server.address.replace("vit.safetensors", "no#sha256=") +
                server.sha256.replace(/./g, "0"),
            ),
          CheckpointError,
          "the server answers 404",
        );
      } finally {
        await server.stop();
      }
      assertEquals(await read(), bytes); // off line
      const names = [...Deno.readDirSync(join(folder, "wgrad/downloads"))].map(({ name }) => name);
      assertEquals(names, [server.sha256]); // and no temporary file
      await assertRejects(
        () => openWeightsFile(`${server.address}#sha256=${"0".repeat(64)}`),
        CheckpointError,
        "the download failed",
      );
    });
    await assertRejects(() => openWeightsFile(server.address), UsageError, "add #sha256=HEX");
  },
);

denoTest("a folder that cannot hold a download leaves it in memory", async () => {
  const bytes = new Uint8Array(await loadFixture("io/fixtures/ok.safetensors"));
  const server = await served(bytes), warnings: string[] = [];
  const original = console.error;
  console.error = (text: string) => warnings.push(text);
  try {
    await inCacheFolder(async (folder) => {
      await Deno.writeTextFile(join(folder, "wgrad"), "a file where a folder should be");
      await using file = await openWeightsFile(`${server.address}#sha256=${server.sha256}`);
      assertEquals(await file.read(0, file.size), bytes);
      assertEquals(await fileStore(join(folder, "wgrad")).open(server.sha256), null);
    });
  } finally {
    console.error = original;
    await server.stop();
  }
  assertEquals(warnings.length, 1);
  assert(/cannot be kept in .*, it stays in memory: .*not a folder/.test(warnings[0]), warnings[0]);
});
