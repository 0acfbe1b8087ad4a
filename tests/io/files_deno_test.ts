import { assert, assertEquals, assertRejects, denoTest } from "../harness.ts";
import {
  checkWritable,
  discardUnfinished,
  loadCheckpointFile,
  loadSafetensorsFile,
  openFileSource,
  readFileBytes,
  saveCheckpointFile,
  saveSafetensorsFile,
  writeFileAtomic,
} from "../../io/files.ts";
import { SafetensorsReader } from "../../io/safetensors.ts";
import { elementsOf, namedArray } from "../../io/named_array.ts";
import type { Checkpoint } from "../../io/checkpoint.ts";
import type { TensorToWrite } from "../../io/safetensors_write.ts";
import { CheckpointError, DataError, InterruptedError } from "../../engine/errors.ts";

/** Runs a test in a folder of its own. */
function folderTest(name: string, fn: (folder: string) => Promise<void>): void {
  denoTest(name, async () => {
    const folder = await Deno.makeTempDir({ prefix: "wgrad_io_" });
    try {
      await fn(folder);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

const names = (folder: string): string[] => [...Deno.readDirSync(folder)].map((e) => e.name).sort();

function checkpointAt(step: number): Checkpoint {
  return {
    tensors: new Map([["model.w", namedArray(Float32Array.of(step))]]),
    state: {
      step,
      epoch: 0,
      position: 0,
      seed: "1",
      rng: {},
      schedule: {},
      kernelVariants: {},
      config: {},
      dataset: "none",
    },
  };
}

folderTest("writeFileAtomic() writes text, bytes and chunks, making folders", async (folder) => {
  const path = `${folder}/a/b/file.txt`;
  assertEquals(await writeFileAtomic(path, "hé"), 3);
  assertEquals(await Deno.readTextFile(path), "hé");
  assertEquals(await writeFileAtomic(path, Uint8Array.of(1, 2)), 2);
  assertEquals(await Deno.readFile(path), Uint8Array.of(1, 2));
  assertEquals(
    await writeFileAtomic(path, [Uint8Array.of(3), new Uint8Array(0), Uint8Array.of(4)]),
    2,
  );
  assertEquals(await Deno.readFile(path), Uint8Array.of(3, 4));
  assertEquals(await writeFileAtomic(path, []), 0);
  assertEquals(names(`${folder}/a/b`), ["file.txt"]);
});

folderTest("writeFileAtomic() shows the old file until the new one is whole", async (folder) => {
  const path = `${folder}/file`;
  await writeFileAtomic(path, "old");
  async function* chunks(): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(100_000);
    assertEquals(await Deno.readTextFile(path), "old");
    assertEquals(names(folder).length, 2);
    yield new Uint8Array(1);
  }
  await writeFileAtomic(path, chunks());
  assertEquals((await Deno.stat(path)).size, 100_001);
  assertEquals(names(folder), ["file"]);
});

folderTest(
  "writeFileAtomic() lets the source's error through, and leaves nothing behind",
  async (folder) => {
    const path = `${folder}/file`;
    await writeFileAtomic(path, "old");
    async function* stopped(): AsyncGenerator<Uint8Array> {
      yield Uint8Array.of(1);
      await Promise.resolve();
      throw new InterruptedError("stopped by the user");
    }
    await assertRejects(() => writeFileAtomic(path, stopped()), InterruptedError, "stopped");
    assertEquals(await Deno.readTextFile(path), "old");
    assertEquals(names(folder), ["file"]);
  },
);

folderTest(
  "writeFileAtomic() names path and cause where the file system refuses",
  async (folder) => {
    await writeFileAtomic(`${folder}/file`, "a file");
    await Deno.mkdir(`${folder}/full/sub`, { recursive: true });
    const cases: [string, string][] = [
      [`${folder}/file/below`, "not a folder"],
      [`${folder}/full`, "it is a folder"],
      [`${folder}/${"n".repeat(300)}`, "the name is too long"],
    ];
    for (const [path, message] of cases) {
      const error = await assertRejects(() => writeFileAtomic(path, "x"), DataError, message);
      assert(error.message.startsWith(`cannot write ${path}: `), error.message);
    }
    assertEquals(names(folder), ["file", "full"]);
    const asCheckpoint = writeFileAtomic(`${folder}/full`, "x", { errorClass: CheckpointError });
    await assertRejects(() => asCheckpoint, CheckpointError);
  },
);

folderTest(
  "checkWritable() tells beforehand what writeFileAtomic() would, and leaves nothing",
  async (folder) => {
    await checkWritable(`${folder}/new/file`);
    assertEquals(names(`${folder}/new`), []);
    await writeFileAtomic(`${folder}/file`, "old");
    await checkWritable(`${folder}/file`);
    assertEquals(await Deno.readTextFile(`${folder}/file`), "old");
    const cases: [string, string][] = [
      [`${folder}/new`, "it is a folder"],
      [`${folder}/file/below`, "a part of the path is a file"],
      ["/proc/none/file", "/proc/none/file"],
    ];
    for (const [path, message] of cases) {
      await assertRejects(() => checkWritable(path), DataError, message);
    }
    assertEquals(names(folder), ["file", "new"]);
  },
);

folderTest("discardUnfinished() removes what a program that ends leaves", async (folder) => {
  const path = `${folder}/file`;
  await writeFileAtomic(path, "old");
  async function* chunks(): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(100_000);
    await Promise.resolve();
    discardUnfinished();
    assertEquals(names(folder), ["file"]);
  }
  await assertRejects(() => writeFileAtomic(path, chunks()), DataError, "there is no such file");
  assertEquals(await Deno.readTextFile(path), "old");
});

folderTest(
  "writeFileAtomic() replaces the target of a symbolic link, not the link",
  async (folder) => {
    await writeFileAtomic(`${folder}/real/file`, "old");
    await Deno.symlink(`${folder}/real/file`, `${folder}/link`);
    await writeFileAtomic(`${folder}/link`, "new");
    assertEquals(await Deno.readTextFile(`${folder}/real/file`), "new");
    assert((await Deno.lstat(`${folder}/link`)).isSymlink);
  },
);

folderTest(
  "writeFileAtomic() lets parallel writers of one path each write whole files",
  async (folder) => {
    const path = `${folder}/file`;
    const texts = Array.from({ length: 8 }, (_, i) => String(i).repeat(50_000));
    for (const keepPrevious of [false, true]) {
      await Promise.all(texts.map((text) => writeFileAtomic(path, text, { keepPrevious })));
      for (const name of names(folder)) {
        assert(texts.includes(await Deno.readTextFile(`${folder}/${name}`)), name);
      }
      assertEquals(names(folder), keepPrevious ? ["file", "file.prev"] : ["file"]);
    }
  },
);

// A full disk: the system's own ENOSPC, from a tmpfs where this user may mount one (root in a container often may
// not). /dev/full, which takes no temporary file, is covered by the next test everywhere.
folderTest(
  "saveCheckpointFile() on a full disk keeps the last checkpoint whole",
  async (folder) => {
    const mount = (...args: string[]): boolean =>
      new Deno.Command("sh", { args }).outputSync().success;
    const disk = `${folder}/disk`;
    await Deno.mkdir(disk);
    const mounted = Deno.build.os === "linux" &&
      mount("-c", `mount -t tmpfs -o size=256k tmpfs ${disk}`);
    if (!mounted) {
      console.log(
        "no right to mount a small disk here: the full disk is only simulated (next test)",
      );
      return;
    }
    try {
      const path = `${disk}/run.safetensors`;
      await saveCheckpointFile(path, checkpointAt(1));
      const { tensors, state } = checkpointAt(2);
      const large = new Map(tensors).set("model.large", namedArray(new Float32Array(100_000)));
      const save = () => saveCheckpointFile(path, { tensors: large, state });
      const error = await assertRejects(save, CheckpointError, "the disk is full");
      assert(error.message.includes(path) && error.message.includes("ENOSPC"), error.message);
      assertEquals(names(disk), ["run.safetensors"]);
      assertEquals((await loadCheckpointFile(path)).state.step, 1);
      await saveCheckpointFile(path, checkpointAt(3)); // the space is free again
      assertEquals((await loadCheckpointFile(path)).state.step, 3);
    } finally {
      mount("-c", `umount ${disk}`);
    }
  },
);

folderTest(
  "writeFileAtomic() removes its temporary file where a limit stops the write",
  async (folder) => {
    // Every Unix can limit the size of a process's files: a write then takes a part, and the next one fails.
    const script = `
    import { writeFileAtomic } from ${
      JSON.stringify(new URL("../../io/files.ts", import.meta.url))
    };
    try {
      await writeFileAtomic(Deno.args[0], new Uint8Array(2 ** 26));
    } catch (error) {
      console.log(error.name + ": " + error.message);
    }`;
    await Deno.writeTextFile(`${folder}/script.ts`, script);
    const path = `${folder}/file`;
    await Deno.writeTextFile(path, "old");
    // In units of 512 or 1,024 bytes: 10 or 20 MB, more than Deno itself writes. Unless ignored, the signal kills.
    const limited = 'trap "" XFSZ; ulimit -f 20000; exec "$0" run -A "$1" "$2"';
    const { stdout, stderr } = await new Deno.Command("sh", {
      args: ["-c", limited, Deno.execPath(), `${folder}/script.ts`, path],
    }).output();
    const text = new TextDecoder().decode(stdout);
    assert(
      text.startsWith(`DataError: cannot write ${path}: `) && text.includes("large"),
      text + new TextDecoder().decode(stderr),
    );
    assertEquals(await Deno.readTextFile(path), "old");
    assertEquals(names(folder), ["file", "script.ts"]);
  },
);

folderTest("a killed writer leaves the old file whole", async (folder) => {
  const script = `
    import { writeFileAtomic } from ${
    JSON.stringify(new URL("../../io/files.ts", import.meta.url))
  };
    await writeFileAtomic(Deno.args[0], (async function* () {
      yield new Uint8Array(100_000);
      console.log("half");
      await new Promise((resolve) => setTimeout(resolve, 60_000));
    })());`;
  await Deno.writeTextFile(`${folder}/script.ts`, script);
  const path = `${folder}/file`;
  await Deno.writeTextFile(path, "old");
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", `${folder}/script.ts`, path],
    stdout: "piped",
    stderr: "null",
  });
  const child = command.spawn();
  const reader = child.stdout.getReader();
  assert(new TextDecoder().decode((await reader.read()).value).startsWith("half"));
  child.kill("SIGKILL");
  await child.status;
  await reader.cancel();
  assertEquals(await Deno.readTextFile(path), "old");
  assertEquals(names(folder).length, 3); // the script, the old file, and the half one under its temporary name
  await writeFileAtomic(path, "new");
  assertEquals(await Deno.readTextFile(path), "new");
  assertEquals(names(folder), ["file", "script.ts"]);
});

folderTest(
  "a write leaves the temporary files of living writers and other names",
  async (folder) => {
    const path = `${folder}/file`;
    const others = ["file.12345678.temp", "file.1234567.tmp", "other.12345678.tmp", "12345678.tmp"];
    for (const name of others) await Deno.writeTextFile(`${folder}/${name}`, "");
    // Both of a writer that was killed while it kept the previous file.
    for (const name of ["12345678.tmp", "12345678.tmp.prev", "87654321.tmp.prev"]) {
      await Deno.writeTextFile(`${path}.${name}`, "");
    }
    const { promise: half, resolve: halfDone } = Promise.withResolvers<void>();
    const { promise: goOn, resolve: go } = Promise.withResolvers<void>();
    const slow = writeFileAtomic(
      path,
      (async function* () {
        yield Uint8Array.of(1);
        halfDone();
        await goOn;
        yield Uint8Array.of(2);
      })(),
    );
    await half;
    await writeFileAtomic(path, Uint8Array.of(3));
    assertEquals(names(folder).length, others.length + 2, names(folder).join());
    go();
    await slow;
    assertEquals(await Deno.readFile(path), Uint8Array.of(1, 2));
    assertEquals(names(folder), [...others, "file"].sort());
  },
);

folderTest("saveSafetensorsFile() and loadSafetensorsFile() are a round trip", async (folder) => {
  const path = `${folder}/w.safetensors`;
  const lazy: TensorToWrite = { dtype: "U8", shape: [2], data: () => Uint8Array.of(5, 6) };
  const bytes = await saveSafetensorsFile(path, [["b", lazy], [
    "a",
    namedArray(Float32Array.of(1)),
  ]], [
    ["k", "v"],
  ]);
  assertEquals((await Deno.stat(path)).size, bytes);
  const { tensors, metadata } = await loadSafetensorsFile(path);
  assertEquals([...metadata], [["k", "v"]]);
  assertEquals([...tensors.keys()], ["a", "b"]);
  assertEquals(elementsOf(tensors.get("b")!), Uint8Array.of(5, 6));
});

folderTest(
  "openFileSource() reads ranges, and a file cut after opening is noticed",
  async (folder) => {
    const path = `${folder}/w.safetensors`;
    await saveSafetensorsFile(path, [["a", namedArray(new Float32Array(1000))]]);
    await using source = await openFileSource(path);
    const reader = await SafetensorsReader.open(source);
    assertEquals((await reader.read("a")).data.length, 4000);
    await Deno.truncate(path, source.size - 100);
    await assertRejects(() => reader.read("a"), CheckpointError, `${path}: got 3900 of 4000 bytes`);
  },
);

folderTest("reading names path and cause where there is nothing to read", async (folder) => {
  const none = `${folder}/none`;
  await assertRejects(
    () => loadSafetensorsFile(none),
    CheckpointError,
    `cannot read ${none}: there is no such file`,
  );
  await assertRejects(() => openFileSource(folder), CheckpointError, "it is not a file");
  await assertRejects(
    () => readFileBytes(none, DataError),
    DataError,
    "there is no such file (ENOENT)",
  );
  await assertRejects(() => readFileBytes(folder, DataError), DataError, "it is a folder");
  await Deno.writeTextFile(none, "seven b");
  await assertRejects(
    () => loadSafetensorsFile(none),
    CheckpointError,
    `${none}: a safetensors file has`,
  );
});

folderTest(
  "saveCheckpointFile() keeps the checkpoint before it, and a bad one points there",
  async (folder) => {
    const path = `${folder}/run.safetensors`;
    await saveCheckpointFile(path, checkpointAt(1));
    assertEquals(names(folder), ["run.safetensors"]);
    for (const step of [2, 3]) await saveCheckpointFile(path, checkpointAt(step));
    assertEquals(names(folder), ["run.safetensors", "run.safetensors.prev"]);
    assertEquals((await loadCheckpointFile(path)).state.step, 3);
    assertEquals((await loadCheckpointFile(`${path}.prev`)).state.step, 2);
    await Deno.truncate(path, 100);
    await assertRejects(
      () => loadCheckpointFile(path),
      CheckpointError,
      `the checkpoint before it is ${path}.prev`,
    );
    await Deno.remove(path);
    await assertRejects(() => loadCheckpointFile(path), CheckpointError, `${path}.prev`);
    const other = `${folder}/single.safetensors`;
    for (const step of [1, 2]) {
      await saveCheckpointFile(other, checkpointAt(step), {
        keepPrevious: false,
      });
    }
    assert(!names(folder).includes("single.safetensors.prev"));
  },
);

folderTest("saveCheckpointFile() rejects a bad state before it touches a file", async (folder) => {
  const path = `${folder}/run.safetensors`;
  const { tensors, state } = checkpointAt(1);
  const bad = { tensors, state: { ...state, step: NaN } };
  await assertRejects(() => saveCheckpointFile(path, bad), CheckpointError, "step is NaN");
  assertEquals(names(folder), []);
});

folderTest("a checkpoint whose tensor cannot be fetched leaves the last one", async (folder) => {
  const path = `${folder}/run.safetensors`;
  await saveCheckpointFile(path, checkpointAt(1));
  const { tensors, state } = checkpointAt(2);
  const failing: TensorToWrite = {
    dtype: "F32",
    shape: [1],
    data: () => Promise.reject(new RangeError("the device is gone")),
  };
  const broken = {
    state,
    tensors: new Map<string, TensorToWrite>([...tensors, ["model.x", failing]]),
  };
  await assertRejects(() => saveCheckpointFile(path, broken), RangeError, "the device is gone");
  assertEquals((await loadCheckpointFile(path)).state.step, 1);
  assertEquals(names(folder), ["run.safetensors"]);
});
