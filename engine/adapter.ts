/**
 * What kind of adapter is this, and what to install where there is none. Pure: no GPU and no permissions needed.
 *
 * A software adapter computes the same numbers as a graphics card, only slower, so every log line and benchmark says
 * which one it was (`adapterLabel`).
 * @module
 */

/** The fields of `GPUAdapterInfo` that name an adapter; all may be empty, and browsers often leave them so. */
export interface AdapterNames {
  /** Vendor name in browsers, a PCI or Khronos vendor number in Deno (65541 is Mesa). */
  readonly vendor?: string;
  /** Architecture, such as `swiftshader` or `ampere`; empty in Deno. */
  readonly architecture?: string;
  /** Device name or number. */
  readonly device?: string;
  /** Free text, such as `llvmpipe (LLVM 15.0.6, 256 bits)`; empty in Chrome by default. */
  readonly description?: string;
  /** True where the runtime itself says that this is a CPU implementation. */
  readonly isFallbackAdapter?: boolean;
}

/** Names under which software rasterisers appear: Mesa, Google, Microsoft (two names), and drivers that just say CPU. */
const SOFTWARE =
  /llvmpipe|lavapipe|softpipe|swrast|swiftshader|\bwarp\b|basic render|software|\bcpu\b/i;

/** Khronos's vendor number of Mesa; hardware drivers of Mesa report the maker of the chip instead. */
const MESA_VENDOR = "65541";

/** Whether an adapter computes on the CPU: by its own word, or by the names that such drivers carry. */
export function isSoftwareAdapter(info: AdapterNames): boolean {
  if (info.isFallbackAdapter === true || info.vendor === MESA_VENDOR) return true;
  return SOFTWARE.test(`${info.architecture ?? ""} ${info.device ?? ""} ${info.description ?? ""}`);
}

/** Mesa's adapter that computes on the processor, whose loads of buffers are dear (kernels/texels.ts). */
export function isLlvmpipe({ architecture, device, description }: AdapterNames): boolean {
  return /llvmpipe|lavapipe/i.test(`${architecture ?? ""} ${device ?? ""} ${description ?? ""}`);
}

/** One line that names an adapter and says how it computes, such as `llvmpipe (LLVM 15.0.6, 256 bits) [software]`. */
export function adapterLabel(info: AdapterNames): string {
  const parts = [info.vendor, info.architecture, info.device].filter((part) => part);
  const name = info.description || parts.join(" ") || "unnamed adapter";
  return `${name} [${isSoftwareAdapter(info) ? "software" : "hardware"}]`;
}

/** Limits that every kernel counts on: the defaults of WebGPU, which some drivers reached through OpenGL lack. */
export const NEEDED_LIMITS: Readonly<Record<string, number>> = {
  maxBufferSize: 268_435_456,
  maxStorageBufferBindingSize: 134_217_728,
  maxStorageBuffersPerShaderStage: 8,
  maxUniformBufferBindingSize: 65_536,
  maxComputeWorkgroupStorageSize: 16_384,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupSizeX: 256,
  maxComputeWorkgroupsPerDimension: 65_535,
};

/** What an adapter has too little of, a phrase for each limit below `NEEDED_LIMITS`; empty where it is enough. */
export function limitsBelow(limits: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(NEEDED_LIMITS).flatMap(([name, need]) => {
    const have = Number(limits[name] ?? 0);
    return have >= need ? [] : [`${name} is ${have}, ${need} is needed`];
  });
}

/** Where the program runs, as far as finding an adapter is concerned. */
export type Platform = "linux" | "darwin" | "windows" | "browser" | "other";

/** Detects the platform without needing a permission; a page or worker in a browser is `browser`. */
export function currentPlatform(): Platform {
  const host = globalThis as { Deno?: { build: { os: string } }; process?: { platform: string } };
  const name = host.Deno?.build.os ?? host.process?.platform;
  switch (name) {
    case undefined:
      return "browser";
    case "linux":
    case "darwin":
    case "windows":
      return name;
    case "win32":
      return "windows";
    default:
      return "other";
  }
}

/** The package managers whose commands are known here. */
export type PackageManager = "apt" | "dnf" | "pacman" | "zypper";

/** Installs Mesa's software Vulkan driver and the loader, by the package manager's own name. */
export const DRIVER_COMMANDS: Readonly<Record<PackageManager, string>> = {
  apt:
    "apt-get update && apt-get install -y --no-install-recommends mesa-vulkan-drivers libvulkan1",
  dnf: "dnf install -y mesa-vulkan-drivers vulkan-loader",
  pacman: "pacman -S --needed vulkan-swrast vulkan-icd-loader",
  zypper: "zypper install -y Mesa-vulkan-device-select libvulkan_lvp libvulkan1",
};

/** What to do on a platform where no adapter was found: several lines, the last without a newline. */
export function adapterHelp(platform: Platform = currentPlatform()): string {
  switch (platform) {
    case "linux":
      return [
        "Install a Vulkan driver: that of your graphics card, or Mesa's software driver, which needs no card:",
        `  Debian, Ubuntu  deno task setup, or as root: ${DRIVER_COMMANDS.apt}`,
        `  Fedora          as root: ${DRIVER_COMMANDS.dnf}`,
        `  Arch            as root: ${DRIVER_COMMANDS.pacman}`,
        `  openSUSE        as root: ${DRIVER_COMMANDS.zypper}`,
        "If one is installed, look at VK_DRIVER_FILES, VK_ICD_FILENAMES and DENO_WEBGPU_BACKEND: they can hide it.",
      ].join("\n");
    case "darwin":
      return "WebGPU uses Metal here, which is part of macOS: nothing to install. A virtual machine needs one that " +
        "passes Metal through; otherwise use Linux with Mesa's software driver.";
    case "windows":
      return "WebGPU uses Direct3D 12 here. Install the newest driver of your graphics card; without a card, Windows " +
        "10 and later bring a software adapter (WARP), which needs the Direct3D 12 runtime of a current update.";
    case "browser":
      return "Use a current Chrome or Edge (113 or later), Safari 26 or Firefox 141, on https:// or http://localhost, " +
        "with hardware acceleration on. Chromium on Linux: start it with --enable-unsafe-webgpu; without a graphics " +
        "card add --use-webgpu-adapter=swiftshader --enable-unsafe-swiftshader.";
    case "other":
      return "Use Linux, macOS or Windows with a Vulkan, Metal or Direct3D 12 driver.";
  }
}
