/** The examples: short, and each does what it says. */
import { join } from "node:path";
import puppeteer from "puppeteer-core";
import { findChrome } from "../../cli/chrome.ts";
import { writeNpmPackage } from "../../cli/pack/npm.ts";
import { PROJECT_ROOT, quietDriverEnvironment, run } from "../../cli/system.ts";
import { assert, assertEquals, denoTest } from "../harness.ts";
import { CHROME_FLAGS } from "../runner/chrome.ts";
import { serveSite } from "../../web/site/serve.ts";

const FOLDER = join(PROJECT_ROOT, "examples");

const LONGEST = 60;

/** Each with its arguments, whether it needs permissions, and what it prints when it went well. */
const EXAMPLES: Readonly<
  Record<string, { args?: (temporary: string) => string[]; bare?: boolean; prints: RegExp }>
> = {
  "tensor.ts": { bare: true, prints: /y = (1\.9\d|2\.0\d) x \+ (0\.9\d|1\.0\d)\nat x = 3: 7\.0/ },
  "own_kernel.ts": { bare: true, prints: /gradient 0\.1192 0\.5000 0\.9526/ },
  "capture_profile.ts": {
    bare: true,
    // a loss that fell below a tenth; a kernel's row; the op that took the logarithm of -1
    prints: /losses 1\.\d+ .* 0\.0\d+\n[^]*matmul\[[^]*NonFiniteError log\[.*made NaN or infinity/,
  },
  "recycle.ts": {
    args: (
      temporary,
    ) => ["weights/fashion_mnist_vit.safetensors", join(temporary, "moe.safetensors")],
    prints: /blocks\.5\.mlp\.univ_experts: 64 of 256 neurons[^]*10 classes\nsaved: /,
  },
  "train_vit.ts": { args: () => ["30"], prints: /step 30: loss [01]\.\d+\nright: [4-9]\d of 200/ },
};

denoTest(`every example has fewer than ${LONGEST} lines, and a test`, async () => {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(FOLDER)) {
    names.push(name);
    const lines = (await Deno.readTextFile(join(FOLDER, name))).trimEnd().split("\n").length;
    assert(lines < LONGEST, `examples/${name} has ${lines} lines`);
  }
  assertEquals(names.sort(), [...Object.keys(EXAMPLES), "browser.html"].sort());
});

for (const [name, { args, bare, prints }] of Object.entries(EXAMPLES)) {
  denoTest(`examples/${name} runs`, async () => {
    const temporary = await Deno.makeTempDir();
    try {
      const permissions = bare ? ["--no-prompt"] : ["--allow-all"];
      const command = [Deno.execPath(), "run", ...permissions, `examples/${name}`];
      const { code, stdout, stderr } = await run([...command, ...args?.(temporary) ?? []], {
        cwd: PROJECT_ROOT,
        env: { NO_COLOR: "1", ...quietDriverEnvironment() },
      });
      assertEquals(code, 0, stdout + stderr);
      assert(prints.test(stdout), stdout);
    } finally {
      await Deno.remove(temporary, { recursive: true });
    }
  });
}

denoTest("examples/browser.html learns in Chrome from the package for npm", async () => {
  const { chrome } = await findChrome();
  assert(chrome !== null, "deno task setup --tests brings Chrome");
  const temporary = await Deno.makeTempDir();
  const page = await Deno.readFile(join(FOLDER, "browser.html"));
  const site = new Map<string, Uint8Array>([["examples/browser.html", page]]);
  await writeNpmPackage(temporary);
  await addModules(site, temporary, "out/npm");
  await Deno.remove(temporary, { recursive: true });
  const server = serveSite(site, 0);
  const browser = await puppeteer.launch({ executablePath: chrome.path, args: [...CHROME_FLAGS] });
  try {
    const tab = await browser.newPage();
    await tab.goto(`${server.origin}/examples/browser.html`);
    await tab.waitForSelector("body[data-done]", { timeout: 100_000 });
    const log = await tab.$eval("#log", (found) => (found as HTMLElement).innerText);
    assert(/xor: 0\.0\d (0\.9\d|1\.00) (0\.9\d|1\.00) 0\.0\d/.test(log), log);
  } finally {
    await browser.close();
    await server.close();
  }
}, { allowLeaks: true }); // esbuild's process ends a moment after it was told to

async function addModules(
  site: Map<string, Uint8Array>,
  folder: string,
  path: string,
): Promise<void> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) await addModules(site, join(folder, name), `${path}/${name}`);
    else if (name.endsWith(".js")) {
      site.set(`${path}/${name}`, await Deno.readFile(join(folder, name)));
    }
  }
}
