/**
 * Where `device.tune()` keeps what it has measured: a page's localStorage, or a file in the user's cache folder.
 *
 * What is kept is a map from names of calls to names of variants, under the adapter's name and this package's version.
 * Whatever is damaged, or of another adapter or version, counts as nothing and is overwritten.
 * @module
 */
import type { Choices } from "../kernels/choice.ts";
import { VERSION } from "./version.ts";

/** A place for one text. */
export interface ChoiceStore {
  /** For messages: a path, or the key of an entry. */
  readonly name: string;
  /** The text; null where there is none. @throws {Error} when it cannot be read */
  read(): string | null;
  /** Replaces it. @throws {Error} when it cannot be kept */
  write(text: string): void;
}

/** What was kept, and why not all of it counts. */
export interface KeptChoices {
  readonly choices: Choices;
  /** Names the place and says what is wrong with it; null where nothing is. */
  readonly notice: string | null;
}

const FORMAT = "wgrad choices";

/** Reads choices that were measured on this adapter by this version. */
export function readChoices(store: ChoiceStore, adapter: string): KeptChoices {
  const nothing = (notice: string | null): KeptChoices => ({ choices: new Map(), notice });
  const ignored = (why: string) => nothing(`${store.name} ${why}; it is ignored`);
  let text: string | null;
  try {
    text = store.read();
  } catch (error) {
    return ignored(`cannot be read (${messageOf(error)})`);
  }
  if (text === null) return nothing(null);
  let kept: Record<string, unknown> | null;
  try {
    kept = JSON.parse(text);
  } catch {
    return ignored("is damaged");
  }
  if (kept?.format !== FORMAT) return ignored("holds no choices of wgrad");
  if (kept.version !== VERSION) return ignored(`is of wgrad ${kept.version}, this is ${VERSION}`);
  if (kept.adapter !== adapter) return ignored(`is of ${kept.adapter}, this adapter is ${adapter}`);
  const { choices } = kept;
  const entries = Object.entries(typeof choices === "object" && choices !== null ? choices : {});
  if (entries.length === 0 || !entries.every(([, name]) => typeof name === "string")) {
    return ignored("is damaged");
  }
  return { choices: new Map(entries as [string, string][]), notice: null };
}

/** Keeps choices. @returns what went wrong, null where nothing did */
export function writeChoices(store: ChoiceStore, adapter: string, choices: Choices): string | null {
  const kept = { format: FORMAT, version: VERSION, adapter, choices: Object.fromEntries(choices) };
  try {
    store.write(`${JSON.stringify(kept, null, 1)}\n`);
    return null;
  } catch (error) {
    return `${store.name} cannot be written (${messageOf(error)}); nothing is remembered`;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The little that is asked of browsers, Deno and Node. */
export interface StoreHost {
  readonly localStorage?: Pick<Storage, "getItem" | "setItem">;
  readonly Deno?: {
    readonly build: { readonly os: string };
    readonly env: { get(name: string): string | undefined };
    readonly permissions: { querySync(what: object): { state: string } };
  };
  readonly process?: {
    readonly platform: string;
    readonly env: Readonly<Record<string, string | undefined>>;
    getBuiltinModule?(name: "node:fs"): FileSystem;
  };
}

interface FileSystem {
  readFileSync(path: string, encoding: "utf8"): string;
  existsSync(path: string): boolean;
  mkdirSync(path: string, options: { recursive: true }): void;
  writeFileSync(path: string, text: string): void;
  renameSync(from: string, to: string): void;
}

/**
 * The place of an adapter's choices in this runtime; null where there is none, as in a worker of a page, or where Deno was
 * not given the permissions: it is not made to ask for them.
 */
export function choiceStore(
  adapter: string,
  host: StoreHost = globalThis as unknown as StoreHost,
): ChoiceStore | null {
  const { Deno, process } = host;
  const files = process?.getBuiltinModule?.("node:fs");
  return Deno === undefined && files === undefined
    ? pageStore(adapter, host)
    : fileStore(adapter, host, files);
}

function pageStore(adapter: string, host: StoreHost): ChoiceStore | null {
  const key = `wgrad choices of ${adapter}`;
  let storage: StoreHost["localStorage"];
  try {
    storage = host.localStorage; // a page without an origin may not even ask
  } catch {
    return null;
  }
  if (!storage) return null;
  return {
    name: `localStorage["${key}"]`,
    read: () => storage.getItem(key),
    write: (text) => storage.setItem(key, text),
  };
}

/** Variables that may name the cache folder; the first that is set does, with the rest of the path behind it. */
const FOLDERS: Readonly<Record<string, readonly (readonly [variable: string, rest: string])[]>> = {
  darwin: [["HOME", "/Library/Caches"]],
  windows: [["LOCALAPPDATA", ""]],
  other: [["XDG_CACHE_HOME", ""], ["HOME", "/.cache"]],
};

function fileStore(
  adapter: string,
  { Deno, process }: StoreHost,
  files: FileSystem | undefined,
): ChoiceStore | null {
  const may = (what: object) =>
    Deno === undefined || Deno.permissions.querySync(what).state === "granted";
  const os = (Deno?.build.os ?? process!.platform).replace("win32", "windows");
  const folder = (FOLDERS[os] ?? FOLDERS.other).flatMap(([variable, rest]) => {
    if (!may({ name: "env", variable })) return [];
    const value = Deno === undefined ? process!.env[variable] : Deno.env.get(variable);
    return value ? [`${value}${rest}/wgrad`] : [];
  }).at(0);
  if (folder === undefined || files === undefined) return null;
  if (!may({ name: "read", path: folder }) || !may({ name: "write", path: folder })) return null;
  const path = `${folder}/choices-${adapter.replace(/[^A-Za-z0-9]+/g, "-")}.json`;
  return {
    name: path,
    read: () => files.existsSync(path) ? files.readFileSync(path, "utf8") : null,
    write: (text) => {
      files.mkdirSync(folder, { recursive: true });
      files.writeFileSync(`${path}.tmp`, text);
      files.renameSync(`${path}.tmp`, path);
    },
  };
}
