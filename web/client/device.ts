/**
 * The page's device: asked for once, when something first needs it.
 * @module
 */
import { type Device, requestDevice } from "../../mod.ts";

let asked: Promise<Device> | undefined;

/** The device. @throws {AdapterUnavailableError} where there is no WebGPU; its message says what to do */
export function pageDevice(): Promise<Device> {
  return asked ??= requestDevice();
}

/** The adapter's name, with a word that it is software where it is. */
export function adapterName({ label, software }: Pick<Device, "label" | "software">): string {
  return software ? `${label} · a software adapter: a processor, not a GPU` : label;
}

/** Shows the adapter, or why there is none, in the page's head. */
export async function showAdapter(): Promise<Device | null> {
  const place = document.getElementById("adapter")!;
  try {
    const device = await pageDevice();
    place.textContent = adapterName(device);
    return device;
  } catch (error) {
    place.textContent = error instanceof Error ? error.message : String(error);
    place.classList.add("missing");
    return null;
  }
}
