/** wgrad by URL: a folder served as it is, each type of content that servers give `.ts`, nothing on the user's side. */
import { PROJECT_ROOT, quietDriverEnvironment, run } from "../../cli/system.ts";
import { assert, assertEquals, denoTest } from "../harness.ts";

/** What servers send `.ts` as: those that know it, those that take it for a film, and those that do not know it. */
const ACCEPTED = [
  "application/typescript",
  "video/mp2t",
  "text/plain",
  "application/octet-stream",
];

/** What Python's `http.server` sends on Debian, whose /etc/mime.types takes `.ts` for Qt's translations. */
const QT_TRANSLATION = "text/vnd.trolltech.linguist";

const TYPES = [...ACCEPTED, QT_TRANSLATION];

/** Serves the project as often as there are types: `/0/mod.ts` is sent as the first of them. */
async function withServer(work: (origin: string, host: string) => Promise<void>): Promise<void> {
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, answer);
  const host = `127.0.0.1:${server.addr.port}`;
  try {
    await work(`http://${host}`, host);
  } finally {
    await server.shutdown();
  }
}

async function answer(request: Request): Promise<Response> {
  const [, index, ...path] = new URL(request.url).pathname.split("/");
  try {
    const body = await Deno.readFile(`${PROJECT_ROOT}${path.join("/")}`);
    return new Response(body, { headers: { "content-type": TYPES[Number(index)] } });
  } catch {
    return new Response(null, { status: 404 });
  }
}

/** Runs a program in an empty folder, with a cache of its own that has npm's packages but no module from elsewhere. */
async function runElsewhere(
  host: string,
  program: string,
): Promise<{ code: number; text: string }> {
  const folder = await Deno.makeTempDir();
  try {
    const info = await run([Deno.execPath(), "info", "--json"]);
    await Deno.mkdir(`${folder}/cache`);
    await Deno.symlink(JSON.parse(info.stdout).npmCache, `${folder}/cache/npm`);
    await Deno.mkdir(`${folder}/project`);
    await Deno.writeTextFile(`${folder}/project/main.ts`, program);
    const { code, stdout, stderr } = await run(
      [Deno.execPath(), "run", `--allow-import=${host}`, "main.ts"],
      {
        cwd: `${folder}/project`,
        env: { DENO_DIR: `${folder}/cache`, NO_COLOR: "1", ...quietDriverEnvironment() },
      },
    );
    return { code, text: stdout + stderr };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

denoTest("every entry point is imported by URL, whatever type the server gives it", async () => {
  const { exports } = JSON.parse(await Deno.readTextFile(`${PROJECT_ROOT}deno.json`));
  const files = Object.values<string>(exports).map((path) => path.slice(2));
  await withServer(async (origin, host) => {
    const program = ACCEPTED.map((type, k) => `
${files.map((file, i) => `import * as entry${k}_${i} from "${origin}/${k}/${file}";`).join("\n")}
{
  const { requestDevice, softmax } = entry${k}_${files.indexOf("mod.ts")};
  using device = await requestDevice();
  const y = await softmax(device.tensor([[0, Math.log(3)]])).data();
  const entries = [${files.map((_, i) => `entry${k}_${i}`).join(", ")}];
  const names = entries.map((entry) => Object.keys(entry).length);
  if (names.some((count) => count === 0)) throw new Error("an entry point is empty: " + names);
  console.log("${type}", y[1].toFixed(4));
}`).join("\n");
    const { code, text } = await runElsewhere(host, program);
    assertEquals(code, 0, text);
    for (const type of ACCEPTED) assert(text.includes(`${type} 0.7500\n`), text);
  });
}, { timeout: 240 });

denoTest(
  "Deno refuses the type of Python's http.server on Debian, as the README says",
  async () => {
    await withServer(async (origin, host) => {
      const { code, text } = await runElsewhere(
        host,
        `import "${origin}/${TYPES.indexOf(QT_TRANSLATION)}/mod.ts";`,
      );
      assertEquals(code, 1, text);
      assert(text.includes("identified a Unknown module"), text);
      const readme = await Deno.readTextFile(`${PROJECT_ROOT}README.md`);
      for (const told of [QT_TRANSLATION, "identified a Unknown module", "--allow-import=HOST"]) {
        assert(readme.includes(told), `README.md does not say "${told}"`);
      }
    });
  },
);
