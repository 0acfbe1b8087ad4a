/**
 * The live page on mixtures of experts, as HTML; `client.ts` brings it to life.
 * @module
 */
import { type Html, html } from "../../site/html.ts";
import type { LivePage } from "../live_page.ts";
import { COUNTS, digitFiles } from "./digits.ts";
import { DENSE_WEIGHTS, MOE_WEIGHTS } from "./places.ts";

/** The page. */
export const MOE_PAGE: LivePage = {
  slug: "moe",
  title: "MoE",
  about:
    "Draw a digit and see which of its patches feed which expert, layer by layer; fine-tune the mixture here.",
  body,
  script: "web/live/moe/client.ts",
  style: "web/live/moe/moe.css",
  files: [MOE_WEIGHTS, DENSE_WEIGHTS].map((path) => ({ path, source: path })),
  made: digitFiles,
};

function body(): Html {
  return html`
    <article class="moe">
      <h1>A mixture of experts reads digits</h1>
      <p class="lead">A small Vision Transformer in whose last blocks the MLP has become 8 large and 16 small experts
      (MoE Jetpack, arXiv:2406.04801), run by the kernels of this atlas in your browser. Draw a digit, see the answer and
      which patches feed which expert; then train the model on this page. Nothing leaves your machine.</p>
      <p class="wrong" id="missing" role="alert" hidden></p>
      ${model()} ${input()} ${experts()} ${training()}
    </article>
  `;
}

function model(): Html {
  return html`
    <section aria-labelledby="model-title">
      <h2 id="model-title">Model</h2>
      <p id="model" role="status">Loading the weights …</p>
      <p class="row"><label class="file">Open weights …
      <input type="file" id="weights" accept=".safetensors,.pth,.pt,.bin"></label>
      <button type="button" id="original">Back to the first model</button>
      <span class="note">or drop a file anywhere: a ViT as timm names it or a mixture of experts, safetensors or what
      <code>torch.save</code> writes. Nothing in it is executed.</span></p>
      <p id="heads-row"
        hidden><label>Attention heads <input type="number" id="heads" min="1" max="64" size="3"></label>
      <span class="note">Weights do not show how many there are; 64 channels each was taken.</span></p>
      <p class="wrong" id="refused" role="alert" hidden></p>
    </section>
  `;
}

function input(): Html {
  return html`
    <section aria-labelledby="input-title">
      <h2 id="input-title">Input and answer</h2>
      <div class="look">
        <div>
          <canvas id="pad" width="560" height="560" tabindex="0" role="application"
            aria-label="Drawing pad. Arrow keys move the pen, space puts it down and lifts it, Backspace takes the last line back, Delete clears."></canvas>
          <p class="told" id="pen"
            aria-live="polite">Draw with mouse, finger or pen; or focus the pad: arrows move, space
          draws.</p>
          <p
            class="row"><button type="button" id="undo">Undo</button> <button type="button" id="clear">Clear</button>
          <label class="file">Picture … <input type="file" id="picture" accept="image/*"></label></p>
        </div>
        <figure class="seen">
          <canvas id="seen" width="28" height="28" role="img" aria-label="What the model sees"></canvas>
          <figcaption id="source">What the model sees</figcaption>
        </figure>
        <div class="answer">
          <p class="says" id="says" role="status"></p>
          <ol class="bars" id="bars" aria-label="Probabilities of the classes"></ol>
        </div>
      </div>
      <div class="samples" id="samples" role="group"
        aria-label="Digits of MNIST that no model here was trained on"></div>
    </section>
  `;
}

function experts(): Html {
  return html`
    <section aria-labelledby="experts-title">
      <h2 id="experts-title">Which patches feed which expert</h2>
      <p>Every expert of a layer reads one mean of all patches, weighted by a softmax <em>over the patches</em>: the
      <span class="dispatch">orange</span> map, which sums to 1. What comes back to a patch is a mean of the experts’
      answers, weighted by <a href="entmax.html">1.5-entmax</a> <em>over the slots</em>: the
      <span class="combine">blue</span> maps, which sum to 1 over the experts of a patch, many of them exactly 0. Outlined
      are the core experts, as wide as the dense MLP; the universal ones have a quarter of its neurons.</p>
      <p
        class="note">Point at an expert or focus it to see what feeds it; point at a patch, or focus the grid and use the
      arrow keys, to see where it goes. Arrow keys also move between experts.</p>
      <div id="layers"></div>
    </section>
  `;
}

function training(): Html {
  return html`
    <section aria-labelledby="train-title">
      <h2 id="train-title">Fine-tune here</h2>
      <p>Trains on ${COUNTS.train} digits and measures on ${COUNTS
        .heldOut} others. The dense model has only seen clothes:
      its MLPs are cut into experts first, as <code>wgrad recycle</code> does. The maps above follow the model while it
      learns.</p>
      <div class="row">
        <label>From <select id="from"><option value="dense">a dense ViT that knows clothes, recycled</option>
        <option value="shown">the model shown above</option></select></label>
        <label>Steps <input type="number" id="steps" min="1" max="5000" value="200" size="5"></label>
        <label>Digits a step <input type="number" id="batch" min="1" max="256" value="32" size="4"></label>
        <label>Seed <input type="number" id="seed" min="0" max="99999" value="0" size="5"></label>
      </div>
      <p
        class="row"><button type="button" id="start">Start</button> <button type="button" id="stop" disabled>Stop</button>
      <button type="button" id="resume" disabled>Resume</button>
      <button type="button" id="save-run" disabled>Save the run</button>
      <button type="button" id="save-model" disabled>Save the model</button>
      <label class="file">Load a run … <input type="file" id="run" accept=".safetensors"></label></p>
      <p class="wrong" id="failed" role="alert" hidden></p>
      <p id="progress" role="status">Not started.</p>
      <p id="saved" class="note"></p>
      <div class="charts" id="charts"></div>
      <p
        class="note">A saved run holds weights, the optimiser’s moments, the place in the data and the curves: loaded here,
      it goes on as if it had never stopped. A saved model is for everything else: this page,
      <code>wgrad eval</code>, any reader of safetensors.</p>
    </section>
  `;
}
