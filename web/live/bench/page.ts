/**
 * The live page that measures, as HTML; `client.ts` brings it to life.
 * @module
 */
import { WORKLOAD_GROUPS } from "../../../bench/workloads/all.ts";
import { Html, html } from "../../site/html.ts";
import type { LivePage } from "../live_page.ts";
import { QUICK } from "./quick.ts";

/** The page. */
export const BENCH_PAGE: LivePage = {
  slug: "bench",
  title: "Bench",
  about:
    "Measure kernels and models on your adapter: times, rates, and their share of what it can do at best.",
  body,
  script: "web/live/bench/client.ts",
  worker: "web/live/bench/worker.ts",
  style: "web/live/bench/bench.css",
  files: [],
};

function body(): Html {
  return html`
    <article class="bench">
      <h1>Bench</h1>
      <p class="lead">What <code>deno task bench</code> runs, on your adapter: every workload is compared with plain loops
      in float64, timed, and compared again. First comes what the adapter can do at best, arithmetic and copying, so that
      each time has its share of that. Nothing leaves your machine.</p>
      <p class="wrong" id="missing" role="alert" hidden></p>
      ${run()} ${results()} ${others()}
    </article>
  `;
}

function run(): Html {
  return html`
    <section aria-labelledby="run-title">
      <h2 id="run-title">Measure</h2>
      <p
        class="row"><label>Samples <select id="effort" autocomplete="off"><option value="quick">3 of each, quick</option>
      <option value="full">9 of each, thorough</option></select></label>
      <button type="button" id="start">Start</button> <button type="button" id="stop" disabled>Stop</button></p>
      <p class="wrong" id="failed" role="alert" hidden></p>
      <progress id="bar" value="0" max="1" aria-label="Workloads measured"></progress>
      <p id="progress" role="status">Not started.</p>
      <details
        id="choose"><summary>Workloads: <span id="count">a quick set</span></summary>${choice()}</details>
      <p
        class="note">A sample is as many runs as take twenty times as long as a wait for nothing, so that the wait is less
      than 5 % of it. Other work on this machine makes it slower: close what else computes.</p>
    </section>
  `;
}

function choice(): Html {
  let index = 0;
  return html`
    <p
      class="row"><button type="button" id="quick">Quick set</button> <button type="button" id="all">All</button>
    <button type="button" id="none">None</button></p>
    <form class="groups" id="groups" autocomplete="off">${WORKLOAD_GROUPS.map((
      { title, workloads },
    ) =>
      html`<fieldset><legend><label><input type="checkbox" data-group> ${title}</label></legend>${
        workloads.map(({ name, shape, long }) => {
          const quick = new Html(QUICK.has(`${name} ${shape}`) ? " checked data-quick" : "");
          return html`<label><input type="checkbox" value="${index++}"${quick}> ${name} <small>${shape}${
            long ? "; minutes without a GPU" : ""
          }</small></label>`;
        })
      }</fieldset>`
    )}</form>
  `;
}

function results(): Html {
  return html`
    <section id="results" aria-labelledby="results-title" hidden>
      <h2 id="results-title">Results</h2>
      <dl class="facts" id="setting"></dl>
      <div class="scroll" tabindex="0" role="region" aria-labelledby="results-title">
        <table>
          <thead>
            <tr>
              <th scope="col">Workload</th>
              <th scope="col">Clock</th>
              <th scope="col">Median ms</th>
              <th scope="col">p10–p90</th>
              <th scope="col">Runs a wait</th>
              <th scope="col">GFLOP/s</th>
              <th scope="col">GB/s</th>
              <th scope="col">Of the roof</th>
              <th scope="col">Check, largest error</th>
            </tr>
          </thead>
          <tbody id="rows"></tbody>
        </table>
      </div>
      <p
        class="row"><a class="button" id="json" hidden>Download JSON</a> <span class="note">one object a row, as
      <code>deno task bench --json FILE</code> writes them</span></p>
      <h3>Time of a run</h3>
      <p
        class="note">Median, tenth to ninetieth percentile, on a logarithmic axis: shorter is better. Pale: the sum of the
      GPU’s timestamps around each kernel, without what lies between. Browsers round those, unless started with
      <code>--enable-webgpu-developer-features</code>.</p>
      <div class="chart" id="bars"></div>
      <h3>Under the roof</h3>
      <p
        class="note">By the wall clock; the numbers are those of the table. A workload whose operations or bytes are not
      counted is not here. One above the roof reads from caches, which are faster than memory.</p>
      <div class="chart" id="roof"></div>
    </section>
  `;
}

function others(): Html {
  return html`
    <section aria-labelledby="others-title">
      <h2 id="others-title">Beside other frameworks</h2>
      <p>jax-js, TensorFlow.js and ONNX Runtime do not come with this site. From a checkout, this measures them and wgrad in
      turns in the same Chrome, with the same workloads and checks:</p>
      <pre class="command"><code>npx -y deno@2.9.6 task bench --peers --chrome</code></pre>
    </section>
  `;
}
