/**
 * The page's side of the benchmark in Chrome: starts a session and runs workloads when told to.
 * @module
 */
import { firstResult, ours, oursWarm } from "../first_result.ts";
import type { Row, Setting } from "../harness/row.ts";
import type { Roofline } from "../harness/roofline.ts";
import { peersFor } from "../peers/start.ts";
import { matcher } from "../../referee/glob.ts";
import type { ScaledSeries } from "../scaling/run.ts";
import { SCALING } from "../scaling/series.ts";
import { type EFFORTS, Session } from "../session.ts";
import { findWorkload } from "../workloads/find.ts";

/** What the program outside needs of a started session. */
export interface PageSession {
  readonly setting: Setting;
  readonly wait: number;
  readonly roof: Roofline;
  readonly rows: readonly Row[];
}

/** The functions that are called from outside. */
export interface BenchPage {
  /** True when the browser found an adapter that is no software. */
  hardware(): Promise<boolean>;
  /** Starts a session. @param peers pattern of the peers' labels; empty for none */
  start(runtime: string, effort: keyof typeof EFFORTS, peers: string): Promise<PageSession>;
  /** Runs a workload by its name and shape. */
  run(name: string): Promise<readonly Row[]>;
  /** Measures the series of this index in the table of those. */
  scale(index: number): Promise<ScaledSeries>;
  /** Milliseconds to the first result of a framework; to be asked of a fresh page. */
  firstResult(label: string): Promise<number>;
}

const allPeers = () =>
  peersFor({
    url: (path) => new URL(`/peers/${path}`, location.href).href,
    tensorFlow: new URL("/tfjs.mjs", location.href).href,
  });

let session: Session | undefined;

const page: BenchPage = {
  async hardware() {
    const adapter = await navigator.gpu?.requestAdapter();
    const names = `${adapter?.info.architecture} ${adapter?.info.description}`;
    return !!adapter && !adapter.info.isFallbackAdapter && !/swiftshader|llvmpipe/i.test(names);
  },
  async start(runtime, effort, peers) {
    const wanted = matcher([peers]);
    const chosen = allPeers().filter(({ label }) => wanted(label));
    session = await Session.start({ runtime, effort, peers: chosen });
    const { setting, wait, roof } = session;
    return { setting, wait, roof, rows: session.rooflineRows() };
  },
  run(name) {
    return session!.run(findWorkload(name));
  },
  scale(index) {
    return session!.scale(SCALING[index]);
  },
  firstResult(label) {
    return firstResult([ours(), oursWarm(), ...allPeers()].find((peer) => peer.label === label)!);
  },
};

Reflect.set(globalThis, "benchPage", page);
