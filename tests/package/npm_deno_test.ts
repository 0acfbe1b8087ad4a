/** The package for npm: installed from its tarball without a network, as a user of Deno, Node, tsc and esbuild meets it. */
import { join } from "node:path";
import * as esbuild from "esbuild";
import { NOTICE, writeNpmPackage } from "../../cli/pack/npm.ts";
import { measureSizes } from "../../cli/pack/sizes.ts";
import { PROJECT_ROOT, quietDriverEnvironment, run, type RunResult } from "../../cli/system.ts";
import { assert, assertEquals, denoTest } from "../harness.ts";

/** The last version of TypeScript written in JavaScript, and the first whose DOM types know WebGPU. */
const TSC = "npm:typescript@6.0.3/tsc";

/** What the core may weigh. It was 54.4 KB when this was written; jax-js takes 103 KB, TensorFlow.js 163 KB. */
const CORE_LIMIT = 60_000;

const config = JSON.parse(await Deno.readTextFile(`${PROJECT_ROOT}deno.json`));

/** The names a user imports: `@wgrad/wgrad`, `@wgrad/wgrad/nn`, ... */
const NAMES = Object.keys(config.exports).map((path) => config.name + path.slice(1));

/** A program that uses types of every entry point, and one type wrongly. */
const USER = `
import { AdamW, crossEntropy, type Device, requestDevice, VisionTransformer } from "@wgrad/wgrad";
${NAMES.map((name, i) => `import * as entry${i} from "${name}";`).join("\n")}
export const entries: object[] = [${NAMES.map((_, i) => `entry${i}`).join(", ")}];
export async function loss(): Promise<number> {
  const device: Device = await requestDevice();
  const model = await new VisionTransformer({ imgSize: 8, patchSize: 4, numClasses: 2 }).to(device);
  const optimizer = new AdamW(model.namedParameters(), { lr: 1e-3 });
  optimizer.zeroGrad();
  // @ts-expect-error a shape is no string, which a type that did not resolve would not know
  device.zeros("3");
  return await crossEntropy(model.forward(device.zeros([1, 1, 8, 8])), device.zeros([1], "u32")).item();
}
`;

let installed: Promise<string> | undefined;

/** A project in which the tarball is installed; made once, as it takes seconds. */
function project(): Promise<string> {
  return installed ??= (async () => {
    const folder = await Deno.makeTempDir({ prefix: "wgrad-npm-" });
    addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
    await writeNpmPackage(join(folder, "package"));
    await succeed(["npm", "pack", "--silent", "--pack-destination", folder, "./package"], folder);
    const [tarball] = Array.from(Deno.readDirSync(folder)).filter((e) => e.name.endsWith(".tgz"));
    const user = join(folder, "user");
    await Deno.mkdir(user);
    await Deno.writeTextFile(join(user, "package.json"), `{ "type": "module", "private": true }`);
    await Deno.writeTextFile(join(user, "user.ts"), USER);
    const quiet = ["--offline", "--ignore-scripts", "--no-audit", "--no-fund"];
    await succeed(["npm", "install", ...quiet, `../${tarball.name}`], user);
    return user;
  })();
}

async function succeed(
  command: readonly string[],
  cwd: string,
  env?: Record<string, string>,
): Promise<RunResult> {
  const result = await run(command, { cwd, env: { NO_COLOR: "1", ...env } });
  assertEquals(result.code, 0, `${command.join(" ")}: ${result.stdout}${result.stderr}`);
  return result;
}

denoTest("npm: the tarball holds modules, types and texts, and nothing else", async () => {
  const folder = join(await project(), "node_modules", config.name);
  const found = new Set<string>();
  for await (const path of walk(folder)) found.add(path.replace(/^.*?(\.d\.ts|\.\w+)$/, "$1"));
  assertEquals([...found].sort(), [".cff", ".d.ts", ".js", ".json", ".md", ".txt", "LICENSE"]);
  const notice = await Deno.readTextFile(join(folder, NOTICE));
  const told = [
    /MIT|ISC/,
    /2021-\d+ Buf Tech/,
    /2008 Google Inc/,
    /Apache License\s+Version 2\.0, Jan/,
  ];
  for (const words of told) assert(words.test(notice), `${words}`);
});

async function* walk(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) yield* walk(join(folder, name));
    else yield name;
  }
}

for (const [moduleResolution, module] of [["bundler", "esnext"], ["nodenext", "nodenext"]]) {
  denoTest(`npm: types resolve with moduleResolution ${moduleResolution}`, async () => {
    const user = await project();
    const compilerOptions = {
      module,
      moduleResolution,
      target: "es2022",
      lib: ["es2022", "dom"],
      types: [],
      strict: true,
      noEmit: true,
    };
    const settings = JSON.stringify({ compilerOptions, files: ["user.ts"] });
    await Deno.writeTextFile(join(user, "tsconfig.json"), settings);
    await succeed([Deno.execPath(), "run", "-A", "--quiet", "--no-lock", TSC], user);
  });
}

denoTest("npm: a program in Deno computes by the package's name", async () => {
  const program = `
import { requestDevice, softmax } from "${config.name}";
${NAMES.map((name) => `await import("${name}");`).join("\n")}
using device = await requestDevice();
console.log((await softmax(device.tensor([[0, Math.log(3)]])).data())[1].toFixed(4));`;
  const user = await project();
  await Deno.writeTextFile(join(user, "main.js"), program);
  const command = [Deno.execPath(), "run", "--allow-read", "--cached-only", "main.js"];
  const { stdout } = await succeed(command, user, quietDriverEnvironment());
  assertEquals(stdout.trim(), "0.7500");
});

denoTest("npm: Node, which has no WebGPU, imports every entry point and is told so", async () => {
  const program = `
const names = ${JSON.stringify(NAMES)};
for (const name of names) if (Object.keys(await import(name)).length === 0) throw new Error(name);
const { requestDevice } = await import(names[0]);
await requestDevice().catch((error) => console.log(error.name, error.message));`;
  const { stdout } = await succeed(
    ["node", "--input-type=module", "--eval", program],
    await project(),
  );
  assert(stdout.startsWith("AdapterUnavailableError This runtime has no WebGPU."), stdout);
});

denoTest("npm: esbuild bundles it for a browser without Node's modules", async () => {
  const names = NAMES.filter((name) => /^@wgrad\/wgrad(\/\w+)?$/.test(name))
    .filter((name) => !/datasets|image_folder|files/.test(name));
  assertEquals(names.length, 8);
  try {
    const { outputFiles } = await esbuild.build({
      stdin: {
        contents: names.map((name, i) => `export * as entry${i} from "${name}";`).join("\n"),
        resolveDir: await project(),
      },
      bundle: true,
      format: "esm",
      platform: "browser",
      write: false,
      logLevel: "silent",
    });
    assert(!/from "|require\(/.test(outputFiles[0].text), "an import is left");
  } finally {
    await esbuild.stop();
  }
}, { allowLeaks: true }); // esbuild's process ends a moment after it was told to

denoTest("npm: the core stays small, and unused shaders stay out of it", async () => {
  const sizes = await measureSizes(join(await project(), "node_modules", config.name));
  const [core, ...larger] = sizes;
  assert(core.gzip < CORE_LIMIT, `the core takes ${core.gzip} bytes, allowed are ${CORE_LIMIT}`);
  for (const { name, gzip } of larger) {
    assert(gzip > core.gzip, `${name}: ${gzip} bytes, the core ${core.gzip}`);
  }
}, { allowLeaks: true });
