/**
 * A step's record list as text: what runs in which order, on what, who keeps what for its backward pass, and when
 * memory is freed.
 *
 * A review sees a lost fusion or a longer life as a changed line, so the text holds nothing that varies from run to
 * run: no addresses, no times. Buffers are named by their label and a number in order of appearance.
 * @module
 */
import type { BufferRange, VirtualBuffer } from "./buffers.ts";
import { type EngineRecord, planReleases, rangesOf } from "./records.ts";

/** The listing of a record list, one record a line and a summary at the end. */
export function listing(records: readonly EngineRecord[]): string {
  const names = new Map<VirtualBuffer, string>();
  const nameOf = ({ buffer }: BufferRange): string => {
    let name = names.get(buffer);
    if (name === undefined) names.set(buffer, name = `${buffer.label}#${names.size + 1}`);
    return name;
  };
  const show = (range: BufferRange): string =>
    `${nameOf(range)} [${(range.shape ?? [range.bytes / 4]).join(",")}]`;
  const frees = planReleases(records);
  const own = new Set([...frees.values()].flat());
  let live = 0, peak = 0, dispatches = 0;
  const seen = new Set<VirtualBuffer>();
  const lines: string[] = [];
  records.forEach((record, i) => {
    const saved: string[] = [];
    for (const range of rangesOf(record)) {
      const { buffer } = range;
      if (own.has(buffer) && !seen.has(buffer)) {
        live += buffer.bytes;
        if (buffer.savedFor) saved.push(`${nameOf(range)} for ${[...buffer.savedFor].join(", ")}`);
      }
      seen.add(buffer);
    }
    peak = Math.max(peak, live);
    const freed = (frees.get(i) ?? []).filter((buffer) => seen.has(buffer));
    for (const buffer of freed) live -= buffer.bytes;
    const text = describe(record, show);
    if (record.kind === "dispatch") dispatches++;
    if (text === null) return;
    const end = freed.map((buffer) => names.get(buffer)).filter((name) => name !== undefined);
    lines.push(
      `${String(lines.length + 1).padStart(4)}  ${text}` +
        (saved.length > 0 ? `   saves ${saved.join("; ")}` : "") +
        (end.length > 0 ? `   frees ${end.join(", ")}` : ""),
    );
  });
  lines.push(`${dispatches} dispatches, peak of intermediates ${peak} bytes`);
  return lines.join("\n");
}

function describe(record: EngineRecord, show: (range: BufferRange) => string): string | null {
  switch (record.kind) {
    case "dispatch": {
      const { program } = record.kernel;
      const part = (writes: boolean): string =>
        record.ranges.filter((_, i) => (program.bindings[i].access !== "read") === writes)
          .map(show).join(", ");
      return `${program.name}[${program.variant}]  ${part(false)} -> ${part(true)}`;
    }
    case "upload":
      return `upload -> ${show(record.target)}`;
    case "copy":
      return `copy  ${show(record.source)} -> ${show(record.target)}`;
    case "read":
      return `read  ${show(record.source)}`;
    case "release":
      return null;
  }
}
