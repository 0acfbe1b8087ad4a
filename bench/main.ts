/**
 * `deno task bench [--peers] [--chrome] [--only GLOB] [--quick] [--json FILE] [--html FILE]`
 *
 * Measures wgrad, and with `--peers` the other frameworks beside it, on the adapter at hand.
 * @module
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { requestDevice } from "../mod.ts";
import { quietDrivers } from "../cli/system.ts";
import { startPeers } from "./peers/start.ts";
import { bundleTensorFlow, installPeers, PEER_MODULES } from "./peers/install.ts";
import { Wgrad } from "./frameworks/wgrad.ts";
import { EFFORTS, runWorkload, settingOf } from "./session.ts";
import { waitMs } from "./harness/clock.ts";
import { measureRoofline } from "./harness/roofline.ts";
import { ALL_WORKLOADS } from "./workloads/all.ts";
import { matcher } from "../referee/glob.ts";

quietDrivers();
const only = matcher([Deno.args[0] ?? "*"]);
const device = await requestDevice();
const wait = await waitMs(device.gpu);
console.log(device.label, "wait", wait);
console.log(await measureRoofline(device.gpu, 20 * wait, 3));
await installPeers();
const tfPath = join(PEER_MODULES, "../../../out/bench");
await Deno.mkdir(tfPath, { recursive: true });
await Deno.writeFile(join(tfPath, "tfjs.mjs"), await bundleTensorFlow("node"));
Reflect.set(globalThis, "window", globalThis);
const require = createRequire(import.meta.url);
const peers = await startPeers({
  url: (path) => pathToFileURL(join(PEER_MODULES, path)).href + (path.endsWith("/") ? "" : ""),
  tensorFlow: pathToFileURL(join(tfPath, "tfjs.mjs")).href,
  ortNode: () => require(join(PEER_MODULES, "onnxruntime-node")),
});
const setting = settingOf(device, `Deno ${Deno.version.deno}`, new Date().toISOString());
const frameworks = [new Wgrad(device, "0.1.0"), ...peers];
for (const workload of ALL_WORKLOADS.filter((w) => only(w.name))) {
  const rows = await runWorkload(workload, frameworks, setting, EFFORTS.quick, wait);
  for (const r of rows) {
    console.log(
      `${r.workload} ${r.shape} | ${r.framework} ${r.clock} | ${r.median_ms?.toFixed(3)} [${
        r.p10_ms?.toFixed(3)
      } ${r.p90_ms?.toFixed(3)}] x${r.repeats_per_sync} ${r.gflops?.toFixed(1)} ${
        r.check.max_abs?.toExponential(1)
      } ${r.error ?? ""}`,
    );
  }
}
Deno.exit(0);
