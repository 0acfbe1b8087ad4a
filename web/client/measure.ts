/**
 * The button that runs the rungs of a pass here: each is checked against its plain loop, then timed.
 * @module
 */
import type { Pass } from "../atlas/chapter.ts";
import { adapterName, pageDevice } from "./device.ts";
import { element } from "./dom.ts";
import { check, time, TOLERANCE } from "./execute.ts";
import { rooflinePlot, type RooflinePoint } from "./roofline_plot.ts";

/** Lets the page draw before something that takes a while. */
const breathe = () => new Promise((resolve) => setTimeout(resolve, 20));

/** Runs every rung of a pass and writes the results into its section. */
export async function measure(section: HTMLElement, pass: Pass): Promise<void> {
  const results = section.querySelector<HTMLElement>(".results")!;
  const plot = section.querySelector<HTMLElement>(".roofline")!;
  const button = section.querySelector<HTMLButtonElement>(".run-all")!;
  button.disabled = true;
  delete section.dataset.measured;
  try {
    results.replaceChildren(element("p", {}, "Measuring what this adapter can do at best…"));
    const device = await pageDevice(), roof = await device.roofline();
    const body = element("tbody");
    results.replaceChildren(table(body), element("p", { class: "on" }, adapterName(device)));
    const points: RooflinePoint[] = [];
    let note = "";
    for (const [k, rung] of pass.rungs.entries()) {
      const row = element("tr", {}, element("th", { scope: "row" }, `${k + 1}. ${rung.title}`));
      body.append(row);
      await breathe();
      const example = rung.timed(), { flops, bytes } = example.kernel;
      const { ok, error } = await check(device, example);
      row.append(
        element(
          "td",
          { class: ok ? "ok" : "wrong" },
          ok ? "right" : `wrong by ${error.toPrecision(2)}`,
        ),
      );
      if (!ok) continue;
      const timing = await time(device, example);
      note ||= timing.note;
      row.append(
        ...[timing.ms, timing.gflops, timing.gbs].map((v) =>
          element("td", {}, Number.isFinite(v) ? v.toPrecision(3) : "–")
        ),
      );
      points.push({ label: String(k + 1), intensity: flops / bytes, gflops: timing.gflops });
    }
    plot.replaceChildren(rooflinePlot(roof, points));
    results.append(
      element(
        "p",
        { class: "note" },
        `Right: within ${TOLERANCE} of the plain loop's largest magnitude. Times: medians by GPU timestamps. ` +
          `Roof: ${roof.gflops.toPrecision(3)} GFLOP/s, ${
            roof.gbs.toPrecision(3)
          } GB/s, measured here. ${note}`,
      ),
    );
    section.dataset.measured = body.querySelector(".wrong") ? "wrong" : "right";
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    results.replaceChildren(element("p", { class: "wrong" }, message));
    section.dataset.measured = "failed";
    console.error(error);
  } finally {
    button.disabled = false;
  }
}

function table(body: HTMLTableSectionElement): HTMLElement {
  const heads = ["Rung", "Result", "ms", "GFLOP/s", "GB/s"];
  const head = element(
    "thead",
    {},
    element("tr", {}, ...heads.map((h) => element("th", { scope: "col" }, h))),
  );
  return element("div", { class: "scroll" }, element("table", {}, head, body));
}
