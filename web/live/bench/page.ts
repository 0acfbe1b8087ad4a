/**
 * The live page that runs the benchmark, as HTML; `client.ts` brings it to life.
 * @module
 */
import { type Html, html } from "../../site/html.ts";
import type { LivePage } from "../live_page.ts";
import { groups } from "./groups.ts";

/** The page. */
export const BENCH_PAGE: LivePage = {
  slug: "bench",
  title: "Bench",
  about:
    "Measure the kernels and models on your own adapter: times with their spread, rates, shares of its roofline.",
  body,
  script: "web/live/bench/client.ts",
  worker: "web/live/bench/worker.ts",
  style: "web/live/bench/bench.css",
  files: [],
};

function body(): Html {
  return html`
    <article class="bench">
      <h1>The benchmark, in this page</h1>
      <p
        class="lead">The same workloads, checks and figures as <code>deno task bench --chrome</code>, on your adapter. Each
      result is compared with plain loops in float64 before and after it is timed; compiling and reading back are outside.
      Nothing leaves your machine.</p>
      <p class="wrong" id="missing" role="alert" hidden></p>
      <form id="choice">
        <fieldset>
          <legend>Workloads</legend>
          <div class="groups">${groups().map(choice)}</div>
        </fieldset>
        <p class="row"><button type="submit" id="start">Start</button>
      <button type="button" id="stop" disabled>Stop</button>
      <label><input type="checkbox" id="thorough"> Thorough: more samples, some minutes longer</label>
      <button type="button" id="save" disabled>Save as JSON</button></p>
      </form>
      <p id="status" role="status">Choose workloads and start.</p>
      <progress id="progress" max="1" value="0" aria-label="Workloads done"></progress>
      <section aria-labelledby="results-title">
        <h2 id="results-title">Results</h2>
        <p class="soft"
          id="setting">The roofline is measured first, then each workload; rows appear as they are done.</p>
        <div id="bars"></div>
        <div class="scroll">
          <table id="table">
            <thead>
              <tr>${[
                "workload",
                "clock",
                "median ms",
                "p10",
                "p90",
                "runs a wait",
                "GFLOP/s",
                "GB/s",
                "of roof",
                "check",
              ]
                .map((title) => html`<th scope="col">${title}</th>`)}</tr>
            </thead>
            <tbody></tbody>
          </table>
        </div>
        <p
          class="note">Clock <b>wall</b>: from the call until all is computed, over so many runs that waiting does not count.
      <b>gpu</b>: timestamps around each dispatch, which browsers round. <b>Of roof</b>: the share of the nearer of the two
      limits measured on this adapter, arithmetic or copying.</p>
      </section>
      <section aria-labelledby="peers-title">
        <h2 id="peers-title">Beside other frameworks</h2>
        <p>jax-js, TensorFlow.js and ONNX Runtime are not shipped with this site. From a checkout,
      <code>npx -y deno@2.9.6 task bench --peers --chrome</code> fetches pinned versions and measures them in turns with
      wgrad, in one run on one adapter.</p>
      </section>
    </article>
  `;
}

function choice({ name, shapes }: ReturnType<typeof groups>[number]): Html {
  return html`<div class="group" role="group" aria-label="${name}"><b>${name}</b>${
    shapes.map(
      ({ shape, index, quick }) =>
        html`<label><input type="checkbox" name="workload" value="${index}"${
          quick
            ? html`
              checked
            `
            : null
        }> ${shape}</label>`,
    )
  }</div>`;
}
