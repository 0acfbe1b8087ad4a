/**
 * Finding an adapter and making a device on it.
 * @module
 */
import { adapterHelp, adapterLabel, limitsBelow } from "./adapter.ts";
import { Device, type DeviceSettings } from "./device.ts";
import { AdapterUnavailableError, LimitError } from "./errors.ts";

/** Options of `requestDevice`. */
export interface DeviceOptions extends DeviceSettings {
  /** Which adapter to prefer on machines with several. */
  powerPreference?: "low-power" | "high-performance";
  /** Use this adapter instead of asking for one. */
  adapter?: GPUAdapter;
  /** `adapter` (default): limits and features raised to what the adapter has; `default`: the specification's own. */
  limits?: "adapter" | "default";
}

/** Features that kernels can use; asked for where the adapter has them. */
const FEATURES = ["shader-f16", "subgroups", "timestamp-query"] as const;

/** Limits that are raised to the adapter's. */
const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeWorkgroupStorageSize",
] as const;

/**
 * Finds an adapter and makes a device on it.
 * @throws {AdapterUnavailableError} with what to install on this system when there is none
 * @throws {LimitError} naming each limit of the adapter that is below what the kernels need
 * @throws {ShapeError} for a seed or a memory budget that is none
 */
export async function requestDevice(options: DeviceOptions = {}): Promise<Device> {
  const gpu = (globalThis.navigator as Navigator | undefined)?.gpu;
  if (!gpu) {
    throw new AdapterUnavailableError(`This runtime has no WebGPU.\n${adapterHelp()}`);
  }
  const adapter = options.adapter ??
    await gpu.requestAdapter({ powerPreference: options.powerPreference }).catch(() => null);
  if (!adapter) {
    throw new AdapterUnavailableError(`No WebGPU adapter was found.\n${adapterHelp()}`);
  }
  const lacks = limitsBelow(adapter.limits as unknown as Record<string, unknown>);
  if (lacks.length > 0) {
    throw new LimitError(
      `${adapterLabel(adapter.info)} is too small: ${lacks.join(", ")}. ` +
        "Use another adapter or driver; `deno task doctor` shows what there is.",
    );
  }
  const requiredLimits: Record<string, number> = {};
  const requiredFeatures: GPUFeatureName[] = [];
  if (options.limits !== "default") {
    for (const name of LIMITS) requiredLimits[name] = adapter.limits[name];
    requiredFeatures.push(...FEATURES.filter((f) => adapter.features.has(f)) as GPUFeatureName[]);
  }
  let device: GPUDevice;
  try {
    device = await adapter.requestDevice({ label: "wgrad", requiredLimits, requiredFeatures });
  } catch (cause) {
    throw new AdapterUnavailableError(
      `${adapterLabel(adapter.info)} refused to make a device: ${(cause as Error).message}`,
      { cause },
    );
  }
  return new Device(device, adapter, options);
}
