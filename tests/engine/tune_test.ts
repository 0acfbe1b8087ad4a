/** Measuring variants on the adapter at hand, and remembering what was found. */
import config from "../../deno.json" with { type: "json" };
import {
  type ChoiceStore,
  conv2d,
  type Device,
  linear,
  requestDevice,
  square,
  sum,
} from "../../engine/mod.ts";
import {
  choiceStore,
  readChoices,
  type StoreHost,
  writeChoices,
} from "../../engine/choice_store.ts";
import { VERSION } from "../../engine/version.ts";
import { assert, assertClose, assertEquals, gpuTest, OWN_DEVICE, test } from "../harness.ts";

const ADAPTER = "a card [hardware]";

/** A store in memory. */
function memory(text: string | null = null): ChoiceStore & { text: string | null } {
  return {
    name: "the shelf",
    text,
    read() {
      return this.text;
    },
    write(text) {
      this.text = text;
    },
  };
}

test("the version that is written down is the package's", () =>
  assertEquals(VERSION, config.version));

test("choices are kept for one adapter and one version", () => {
  const store = memory(), choices = new Map([["matmul 1x2x3x4", "tiled 8x8"]]);
  assertEquals(readChoices(store, ADAPTER), { choices: new Map(), notice: null });
  assertEquals(writeChoices(store, ADAPTER, choices), null);
  assertEquals(readChoices(store, ADAPTER), { choices, notice: null });
  const { choices: others, notice } = readChoices(store, "another [software]");
  assertEquals([others.size, notice], [
    0,
    `the shelf is of ${ADAPTER}, this adapter is another [software]; it is ignored`,
  ]);
});

test("a damaged or foreign store is ignored by name", () => {
  const good = { format: "wgrad choices", version: VERSION, adapter: ADAPTER, choices: { a: "b" } };
  const texts: [string, string][] = [
    ["", "is damaged"],
    [JSON.stringify(good).slice(0, -2), "is damaged"],
    ["null", "holds no choices of wgrad"],
    ["[1, 2]", "holds no choices of wgrad"],
    [JSON.stringify({ ...good, format: "sourdough" }), "holds no choices of wgrad"],
    [JSON.stringify({ ...good, version: "0.0.9" }), `is of wgrad 0.0.9, this is ${VERSION}`],
    [JSON.stringify({ ...good, choices: null }), "is damaged"],
    [JSON.stringify({ ...good, choices: { a: 1 } }), "is damaged"],
    [JSON.stringify({ ...good, choices: "tiled" }), "is damaged"],
  ];
  for (const [text, why] of texts) {
    const { choices, notice } = readChoices(memory(text), ADAPTER);
    assertEquals(choices.size, 0, text);
    assert(notice?.startsWith(`the shelf ${why}`), `${text}: ${notice}`);
  }
});

test("a store that cannot be read or written is named", () => {
  const broken: ChoiceStore = {
    name: "/nowhere/choices.json",
    read: () => {
      throw new Error("permission denied");
    },
    write: () => {
      throw new Error("disk full");
    },
  };
  assertEquals(
    readChoices(broken, ADAPTER).notice,
    "/nowhere/choices.json cannot be read (permission denied); it is ignored",
  );
  assertEquals(
    writeChoices(broken, ADAPTER, new Map()),
    "/nowhere/choices.json cannot be written (disk full); nothing is remembered",
  );
});

/** Node on an operating system, with files in memory. */
function node(
  platform: string,
  env: Record<string, string>,
): StoreHost & { files: Map<string, string> } {
  const files = new Map<string, string>();
  const fs = {
    readFileSync: (path: string) => files.get(path)!,
    existsSync: (path: string) => files.has(path),
    mkdirSync: () => {},
    writeFileSync: (path: string, text: string) => void files.set(path, text),
    renameSync: (from: string, to: string) => {
      files.set(to, files.get(from)!);
      files.delete(from);
    },
  };
  return { files, process: { platform, env, getBuiltinModule: () => fs } };
}

test("choices lie in the cache folder of the system, each adapter's in a file of its own", () => {
  const where = (platform: string, env: Record<string, string>) =>
    choiceStore(ADAPTER, node(platform, env))?.name;
  const file = "wgrad/choices-a-card-hardware-.json";
  assertEquals(where("linux", { HOME: "/home/me" }), `/home/me/.cache/${file}`);
  assertEquals(where("linux", { HOME: "/home/me", XDG_CACHE_HOME: "/c" }), `/c/${file}`);
  assertEquals(where("darwin", { HOME: "/Users/me" }), `/Users/me/Library/Caches/${file}`);
  assertEquals(where("win32", { LOCALAPPDATA: "C:/l" }), `C:/l/${file}`);
  assertEquals(where("linux", {}), undefined);
  const host = node("linux", { HOME: "/h" }), store = choiceStore(ADAPTER, host)!;
  assertEquals(store.read(), null);
  store.write("text");
  assertEquals([store.read(), [...host.files.keys()]], ["text", [store.name]]);
});

test("Deno is not made to ask for permissions; pages use what they have", () => {
  const deno = (granted: readonly string[]): StoreHost => ({
    ...node("linux", {}),
    Deno: {
      build: { os: "linux" },
      env: { get: (name) => name === "HOME" ? "/home/me" : undefined },
      permissions: {
        querySync: (what) => {
          return {
            state: granted.includes((what as { name: string }).name) ? "granted" : "prompt",
          };
        },
      },
    },
  });
  assert(choiceStore(ADAPTER, deno(["env", "read", "write"]))!.name.startsWith("/home/me/.cache/"));
  for (const granted of [[], ["env"], ["env", "read"], ["read", "write"]]) {
    assertEquals(choiceStore(ADAPTER, deno(granted)), null);
  }
  const kept = new Map<string, string>();
  const page = choiceStore(ADAPTER, {
    localStorage: {
      getItem: (key) => kept.get(key) ?? null,
      setItem: (key, value) => void kept.set(key, value),
    },
  })!;
  page.write("text");
  assertEquals([page.read(), kept.size], ["text", 1]);
  assertEquals(choiceStore(ADAPTER, {}), null);
  const closed = {
    get localStorage(): never {
      throw new Error("no origin");
    },
  };
  assertEquals(choiceStore(ADAPTER, closed), null);
});

/** Products so small that two variants suit, of the weight's gradient only one; and what they compute. */
function productsOn(device: Device) {
  const tensor = (phase: number) => {
    const values = Float32Array.from({ length: 16 }, (_, i) => Math.sin(i + phase));
    return device.keep(device.tensor(values, [4, 4], { requiresGrad: true }));
  };
  const x = tensor(0), weight = tensor(1);
  const step = () => {
    x.grad = weight.grad = null;
    const y = linear(x, weight);
    sum(square(y)).backward();
    return [y.data(), x.grad!.data(), weight.grad!.data()];
  };
  return {
    step,
    results: async () => {
      const values = await Promise.all(await device.step(step));
      return values.flatMap((part) => Array.from(part));
    },
  };
}

gpuTest("tune() measures a step's calls, remembers them, and computes the same", async (device) => {
  const { step, results } = productsOn(device), store = memory();
  const before = await results();
  const none = await device.tune(step, { seconds: 0, store });
  assertEquals([none.calls, none.left.length, store.text, none.notices], [[], 2, null, []]);
  assertEquals(device.target.choices?.size, 0);

  const report = await device.tune(step, { seconds: 60, store });
  assertEquals([report.left, report.notices, report.remembered], [[], [], "the shelf"]);
  assertEquals(report.calls.map(({ call }) => call).toSorted(), none.left.toSorted());
  for (const { call, count, variant, standard, speedup } of report.calls) {
    assertEquals([count, device.target.choices?.get(call)], [1, variant]);
    assert(variant === standard ? speedup === 1 : speedup! >= 1.05, `${call}: ${speedup}`);
  }
  assertClose(await results(), before, { atol: 1e-5 }); // sums of four terms in another order

  const again = await device.tune(step, { seconds: 60, store });
  assertEquals(again.calls.map(({ speedup }) => speedup), [null, null]);

  // What a later program finds, without measuring anything.
  using later = await requestDevice();
  const { calls, left } = await later.tune(productsOn(later).step, { seconds: 0, store });
  assertEquals(left, []);
  assertEquals(
    calls.map(({ call, variant }) => [call, variant]),
    report.calls.map(({ call, variant }) => [call, variant]),
  );
}, OWN_DEVICE);

gpuTest(
  "tune() hears of convolutions and their gradients, and says what was ignored",
  async (device) => {
    const tensor = (shape: number[]) => {
      const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
      return device.keep(device.tensor(values, shape, { requiresGrad: true }));
    };
    const x = tensor([1, 6, 6, 8]), filter = tensor([8, 3, 3, 8]);
    const step = () => sum(conv2d(x, filter, undefined, { padding: 1 })).backward();
    const { left, notices } = await device.tune(step, { seconds: 0, store: memory("{") });
    const size = "1x6x6x8 to 8, 3x3, stride 1, padding 1";
    assertEquals(
      left.toSorted(),
      ["forward", "input_backward", "weight_backward"].map((pass) => `conv2d.${pass} ${size}`),
    );
    assertEquals(notices, ["the shelf is damaged; it is ignored"]);
    const nowhere = await device.tune(step, { seconds: 0, store: null });
    assertEquals([nowhere.remembered, nowhere.notices], [null, []]);
  },
  OWN_DEVICE,
);
