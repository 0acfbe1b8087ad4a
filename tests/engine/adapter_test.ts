/** Naming adapters: which ones compute on the CPU, how they are labelled, what to do where there is none. */
import {
  adapterHelp,
  adapterLabel,
  type AdapterNames,
  currentPlatform,
  isSoftwareAdapter,
  limitsBelow,
  NEEDED_LIMITS,
  type Platform,
} from "../../engine/adapter.ts";
import { LimitError } from "../../engine/errors.ts";
import { requestDevice } from "../../engine/request_device.ts";
import { assert, assertEquals, assertRejects, test } from "../harness.ts";

/** As reported by Deno (numbers) and by browsers (words). */
const SOFTWARE: readonly AdapterNames[] = [
  { vendor: "65541", device: "0", description: "llvmpipe (LLVM 15.0.6, 256 bits)" },
  { description: "llvmpipe (LLVM 19.1.7, 256 bits)" },
  { vendor: "google", architecture: "swiftshader", device: "", description: "" },
  { description: "SwiftShader Device (Subzero)" },
  { vendor: "microsoft", architecture: "warp" },
  { vendor: "5140", device: "140", description: "Microsoft Basic Render Driver" },
  { description: "softpipe" },
  { description: "pocl CPU device" },
  { vendor: "intel", architecture: "gen-9", isFallbackAdapter: true },
];

const HARDWARE: readonly AdapterNames[] = [
  { vendor: "4318", device: "9028", description: "NVIDIA H200" },
  { vendor: "nvidia", architecture: "ampere" },
  { vendor: "4098", description: "AMD Radeon RX 7800 XT (RADV NAVI32)", isFallbackAdapter: false },
  { vendor: "apple", architecture: "metal-3", description: "Apple M2" },
  { vendor: "32902", description: "Intel(R) UHD Graphics 620 (KBL GT2)" },
  { vendor: "microsoft", description: "Microsoft Direct3D12 (NVIDIA Warpspeed)" },
  {},
];

test("software adapters are told from hardware", () => {
  for (const info of SOFTWARE) assert(isSoftwareAdapter(info), JSON.stringify(info));
  for (const info of HARDWARE) assert(!isSoftwareAdapter(info), JSON.stringify(info));
});

test("a label names the adapter and its kind", () => {
  assertEquals(adapterLabel(SOFTWARE[0]), "llvmpipe (LLVM 15.0.6, 256 bits) [software]");
  assertEquals(adapterLabel(SOFTWARE[2]), "google swiftshader [software]");
  assertEquals(adapterLabel(HARDWARE[0]), "NVIDIA H200 [hardware]");
  assertEquals(adapterLabel({}), "unnamed adapter [hardware]");
});

test("help names what to install on each platform", () => {
  const parts: Record<Platform, string> = {
    linux: "apt-get install -y --no-install-recommends mesa-vulkan-drivers libvulkan1",
    darwin: "Metal",
    windows: "Direct3D 12",
    browser: "--enable-unsafe-webgpu",
    other: "Linux, macOS or Windows",
  };
  for (const [platform, part] of Object.entries(parts)) {
    assert(adapterHelp(platform as Platform).includes(part), `${platform}: ${part}`);
  }
});

test("the platform is known without asking for a permission", () => {
  const platform = currentPlatform();
  assertEquals(platform === "browser", !("Deno" in globalThis));
});

test("requestDevice() refuses an adapter below the needs and names each limit", async () => {
  const limits = { ...NEEDED_LIMITS, maxStorageBuffersPerShaderStage: 4, maxBufferSize: 1 };
  const adapter = { info: { description: "small" }, limits, features: new Set() };
  const error = await assertRejects(
    () => requestDevice({ adapter: adapter as unknown as GPUAdapter }),
    LimitError,
    "small [hardware] is too small",
  );
  for (
    const part of [
      "maxStorageBuffersPerShaderStage is 4, 8 is needed",
      "maxBufferSize is 1, 268435456 is needed",
      "deno task doctor",
    ]
  ) assert(error.message.includes(part), error.message);
  assertEquals(limitsBelow(NEEDED_LIMITS), []);
});
