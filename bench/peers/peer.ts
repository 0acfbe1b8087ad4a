/**
 * Another framework to measure, before it is loaded.
 * @module
 */
import type { Framework, Run } from "../frameworks/framework.ts";

/** A peer with one of its backends. */
export interface Peer {
  /** As in the rows, `tfjs 4.22.0 (webgpu)`. */
  readonly label: string;
  /** True when it computes on the CPU whatever the adapter. */
  readonly cpu: boolean;
  /** Whether it must start before the others. */
  readonly first?: boolean;
  /** Imports its modules; the function it resolves to starts it. */
  readonly load: () => Promise<() => Promise<Framework>>;
}

/** Starts peers one after another. One that fails stays in the list: each of its rows says why. */
export async function startPeers(peers: readonly Peer[]): Promise<Framework[]> {
  const started = new Map<Peer, Framework>();
  const order = peers.toSorted((a, b) => Number(b.first ?? false) - Number(a.first ?? false));
  for (const peer of order) {
    const start = peer.load().then((start) => start());
    started.set(peer, await start.catch((reason) => new Absent(peer, reason)));
  }
  return peers.map((peer) => started.get(peer)!);
}

/** A peer that did not start. */
class Absent implements Framework {
  readonly label: string;
  readonly cpu: boolean;
  constructor({ label, cpu }: Peer, readonly reason: unknown) {
    this.label = label;
    this.cpu = cpu;
  }

  prepare(): readonly (() => Promise<Run>)[] {
    throw this.reason;
  }
}
