/**
 * The live page on gaze, as HTML; `client.ts` brings it to life.
 * @module
 */
import { COORDINATES, NOTE } from "../../../cli/gaze/rows.ts";
import { type Html, html } from "../../site/html.ts";
import type { LivePage } from "../live_page.ts";
import { detectorFiles, GAZE_WEIGHTS } from "./places.ts";

/** The page. */
export const GAZE_PAGE: LivePage = {
  slug: "gaze",
  title: "Gaze",
  about: "See where people look: in the sample clip, a picture or video of yours, or your camera.",
  body,
  script: "web/live/gaze/client.ts",
  style: "web/live/gaze/gaze.css",
  files: [{ path: GAZE_WEIGHTS, source: GAZE_WEIGHTS }, ...detectorFiles()],
};

function body(): Html {
  return html`
    <article class="gaze">
      <h1>Where people look</h1>
      <p
        class="lead">MCGaze looks at seven frames of a head and says for each where it looks. Here it runs in your browser:
      every frame is seen once, and each clip of seven that slides over it answers. Nothing leaves your machine.</p>
      <p class="caution">${NOTE}</p>
      <p class="wrong" id="missing" role="alert" hidden></p>
      <section aria-labelledby="source-title">
        <h2 id="source-title">What to look at</h2>
        <p class="row"><button type="button" id="sample">Sample clip</button>
      <button type="button" id="camera">Camera</button>
      <label class="file">Picture or video … <input type="file" id="file" accept="image/*,video/*"></label>
      <button type="button" id="stop" disabled>Stop</button></p>
        <p
          class="row"><label><input type="checkbox" id="whole"> The whole frame is one head (no face detector)</label></p>
        <p id="status" role="status">Loading the weights …</p>
        <p class="wrong" id="refused" role="alert" hidden></p>
      </section>
      <section aria-labelledby="seen-title">
        <h2 id="seen-title">What it sees</h2>
        <div class="stage" id="stage">
          <canvas id="frame" width="448" height="448"
            aria-label="The latest frame whose gaze is known"></canvas>
          <div id="overlay" aria-hidden="true"></div>
        </div>
        <p id="said" aria-live="off">No frame yet.</p>
        <div class="tables">
          <table>
            <caption>Time of each stage</caption>
            <thead>
              <tr>
                <th scope="col">stage</th>
                <th scope="col">ms a frame</th>
              </tr>
            </thead>
            <tbody id="stages"></tbody>
          </table>
          <table>
            <caption>Latest frames</caption>
            <thead>
              <tr>
                <th scope="col">frame</th>
                <th scope="col">person</th>
                <th scope="col">yaw °</th>
                <th scope="col">pitch °</th>
                <th scope="col">off by °</th>
              </tr>
            </thead>
            <tbody id="latest"></tbody>
          </table>
        </div>
        <p class="row"><button type="button" id="json" disabled>Save as JSON</button>
      <button type="button" id="csv" disabled>Save as CSV</button></p>
      </section>
      <section aria-labelledby="axes-title">
        <h2 id="axes-title">Coordinates</h2>
        <p>${COORDINATES}</p>
        <p>Drawn: a box about each head, and an arrow from the eyes, as long as the head is high where somebody looks along the
      picture, a dot where they look into the camera. In the sample clip the true gaze is the white arrow. A frame is shown
      once no later clip can change its answer, up to six frames late.</p>
      </section>
      <section aria-labelledby="weights-title">
        <h2 id="weights-title">Weights</h2>
        <p id="model">…</p>
        <p class="row"><label class="file">Other weights … <input type="file" id="weights"
        accept=".safetensors,.pth,.pt"></label>
      <span class="note">of an MCGaze, with a card or of the small preset. Nothing in a file is executed.</span></p>
      </section>
    </article>
  `;
}
