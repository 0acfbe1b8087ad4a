/**
 * How much memory the machine has: what an adapter that computes on the CPU can use at most. Its driver promises more
 * than that (memory is given out at the first write), and the system then kills the process instead of telling it.
 * @module
 */

/** The little that is asked of Deno and Node. */
interface Host {
  Deno?: {
    systemMemoryInfo(): { total: number };
    permissions: { querySync(what: object): { state: string } };
  };
  process?: { getBuiltinModule?(name: "node:os"): { totalmem(): number } };
}

/** Bytes of memory of this machine; Infinity in browsers, which do not tell, and where Deno was not allowed to ask. */
export function machineMemory(host: Host = globalThis as Host): number {
  const { Deno, process } = host;
  if (Deno === undefined) return process?.getBuiltinModule?.("node:os").totalmem() ?? Infinity;
  // Without the permission the call would stop the program to ask for it.
  const { state } = Deno.permissions.querySync({ name: "sys", kind: "systemMemoryInfo" });
  return state === "granted" ? Deno.systemMemoryInfo().total : Infinity;
}
