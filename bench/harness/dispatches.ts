/**
 * Counts the dispatches of every framework on this page or in this process, by listening in on WebGPU itself. A framework that
 * drops work whose result nobody looks at is found out: a sample of n runs must dispatch n times what one run does.
 * @module
 */

let count = 0;
let listening = false;

/** Dispatches so far, of all devices together. */
export function dispatchCount(): number {
  return count;
}

/** Begins to count; once is enough. */
export function countDispatches(): void {
  if (listening || !("GPUComputePassEncoder" in globalThis)) return;
  listening = true;
  const pass = GPUComputePassEncoder.prototype;
  const { dispatchWorkgroups, dispatchWorkgroupsIndirect } = pass;
  pass.dispatchWorkgroups = function (...sizes) {
    count++;
    return dispatchWorkgroups.apply(this, sizes);
  };
  pass.dispatchWorkgroupsIndirect = function (...place) {
    count++;
    return dispatchWorkgroupsIndirect.apply(this, place);
  };
}
