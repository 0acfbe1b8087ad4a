/** The soak test's judgement: what it must see in an hour of samples. */
import { judgeSoak, type Sample, soakMarkdown, soakPage } from "../../cli/soak/summary.ts";
import { PROJECT_ROOT, run } from "../../cli/system.ts";
import { assert, assertEquals, denoTest } from "../harness.ts";

const SETTINGS = {
  model: "a model",
  batch: 2,
  seed: 0,
  adapter: "an adapter [software]",
  runtime: "Deno",
  date: "2025-01-01",
  every: 10,
};

/** Samples of captured and eager steps taking turns. */
function samples(change: (sample: Sample, i: number) => Partial<Sample> = () => ({})): Sample[] {
  return Array.from({ length: 40 }, (_, i) => {
    const captured = i % 10 < 5;
    const sample: Sample = {
      seconds: 90 * i,
      step: 10 * (i + 1),
      captured,
      loss: 2 / (i + 1),
      millisecondsPerStep: captured ? 5 : 9,
      readbacksPerStep: 0.1,
      liveBytes: captured ? 3 << 20 : 1 << 20,
      liveBuffers: captured ? 7 : 5,
      reservedBytes: 4 << 20,
      processBytes: 200 << 20,
    };
    return { ...sample, ...change(sample, i) };
  });
}

denoTest("a soak that is flat has no faults, and its summary says what was measured", () => {
  const flat = samples();
  const { faults, table } = judgeSoak(flat, SETTINGS);
  assertEquals(faults, []);
  assert(table.includes("| liveBytes, captured | 3.00 MiB | 3.00 MiB |"), table);
  assert(
    table.includes("| median step, eager (first and last quarter) | 9.0 ms | 9.0 ms |"),
    table,
  );
  const text = soakMarkdown(flat, SETTINGS);
  assert(text.includes("58.5 minutes and 400 steps") && text.includes("40 in all"), text);
  const html = soakPage(flat, SETTINGS);
  assertEquals(html.split("<svg").length - 1, 7);
  assert(html.includes("Memory is flat.") && !html.includes("NaN"), "the page");
});

denoTest("growth, reads nobody asked for and a broken loss are faults", () => {
  const faultsOf = (change: (sample: Sample, i: number) => Partial<Sample>): readonly string[] =>
    judgeSoak(samples(change), SETTINGS).faults;
  assertEquals(faultsOf((s, i) => ({ liveBytes: s.liveBytes + (i === 39 ? 1 << 20 : 0) })), [
    "liveBytes of eager steps is from 1.00 MiB to 2.00 MiB.",
  ]);
  assertEquals(faultsOf((s) => ({ liveBuffers: s.liveBuffers + s.step * Number(s.captured) })), [
    "liveBuffers of captured steps is from 17 to 357.",
  ]);
  assertEquals(faultsOf((_, i) => i === 12 ? { readbacksPerStep: 0.2 } : {}), [
    "captured steps read back 0.2 times a step, 0.1 were asked for.",
  ]);
  assertEquals(faultsOf((_, i) => i === 39 ? { loss: NaN } : {}), ["The loss is NaN."]);
  const short = judgeSoak(samples().slice(0, 5), SETTINGS);
  assertEquals(short.faults, ["Too short: there are 0 samples of eager steps."]);
  assert(soakMarkdown(samples().slice(0, 5), SETTINGS).includes("- Too short"), "the summary");
});

denoTest("soak refuses minutes that are none", async () => {
  const { code, stderr } = await run(
    [Deno.execPath(), "run", "-A", "cli/soak.ts", "--minutes", "long"],
    { cwd: PROJECT_ROOT },
  );
  assertEquals([code, stderr.trim()], [2, 'soak: --minutes takes a number above 0, not "long"']);
});
