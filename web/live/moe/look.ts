/**
 * The upper part of the page: which model answers, what it looks at, what it says, and the way of the patches.
 * @module
 */
import { adapterName } from "../../client/device.ts";
import { element } from "../../client/dom.ts";
import { type FloatImage, imageAt, makeImage } from "../../../data/mod.ts";
import { imageSize } from "../../../models/mod.ts";
import type { Device } from "../../../mod.ts";
import { paint, showAnswer } from "./answer.ts";
import { rasterise } from "./drawing.ts";
import { byId, complain, onFile } from "./elements.ts";
import { fetchedDigits } from "./fetched.ts";
import { LayerView } from "./layers.ts";
import type { LoadedModel } from "./model.ts";
import { Pad } from "./pad.ts";
import { asDigit, readPicture } from "./picture_file.ts";
import { type Answered, Predictor } from "./predictor.ts";

/** The digit that is shown first. */
const FIRST = 3;

/** What is looked at, and by which model. */
export class Look {
  readonly #device: Device | null;
  readonly #predictor: Predictor | null;
  readonly #pad: Pad;
  #image: FloatImage = makeImage(1, 28, 28);
  #model: LoadedModel | null = null;
  #views: LayerView[] = [];
  #answers = 0;
  /** Nobody has chosen or drawn anything yet. */
  #untouched = true;

  /** @param device null: nothing answers, but one can draw */
  constructor(device: Device | null) {
    this.#device = device;
    this.#predictor = device === null ? null : new Predictor(
      device,
      (answer) => this.#show(answer),
      (error) => complain("refused", error),
    );
    this.#pad = new Pad(
      byId<HTMLCanvasElement>("pad"),
      byId("pen"),
      (strokes) =>
        this.#take(rasterise(strokes), "your drawing, fitted and centred as MNIST’s digits are"),
    );
    byId("undo").addEventListener("click", () => this.#pad.undo());
    byId("clear").addEventListener("click", () => this.#pad.clear());
    onFile("picture", (file) => this.picture(file));
  }

  /** The model that answers. */
  get model(): LoadedModel | null {
    return this.#model;
  }

  /** Lets another model answer; `said` describes it. */
  use(model: LoadedModel, said = describe(model)): void {
    this.#model = model;
    byId("model").textContent = said;
    byId("heads-row").hidden = model.described;
    byId<HTMLInputElement>("heads").value = String(model.net.config.numHeads);
    this.ask();
  }

  /** Asks the model about the image. */
  ask(): void {
    if (this.#model === null) paint(byId<HTMLCanvasElement>("seen"), this.#image);
    else this.#predictor?.ask({ model: this.#model, image: this.#image });
  }

  /** Looks at a picture file. */
  async picture(file: File): Promise<void> {
    complain("refused", null);
    try {
      const picture = await readPicture(file), config = this.#model?.net.config;
      this.#pad.clear(true);
      if (config?.inChans === 3) return this.#take(picture, `the middle of ${file.name}`);
      const [height] = config === undefined ? [28] : imageSize(config);
      const { image, inverted } = asDigit(picture, height);
      const how = inverted ? ", grey and inverted: its edge is light" : ", grey";
      this.#take(image, `the middle of ${file.name}${how}`);
    } catch (error) {
      complain("refused", error);
    }
  }

  /** Fills the row of sample digits, one of each class, and looks at one where nothing else was chosen. */
  async samples(): Promise<void> {
    const digits = await fetchedDigits("heldOut");
    for (let label = 0; label < digits.classes; label++) {
      const index = digits.labels.indexOf(label);
      const image = imageAt(digits, index);
      const canvas = element("canvas");
      paint(canvas, image);
      const button = element(
        "button",
        { type: "button", "aria-label": `A ${label}`, "data-digit": label },
        canvas,
      );
      const look = (): void => {
        this.#pad.clear(true);
        this.#take(image, `a ${label} of MNIST’s test part`);
      };
      button.addEventListener("click", look);
      byId("samples").append(button);
      if (label === FIRST && this.#untouched) look();
    }
  }

  #take(image: FloatImage, said: string): void {
    this.#image = image;
    this.#untouched = false;
    byId("source").textContent = `What the model sees: ${said}`;
    this.ask();
  }

  async #show(answer: Answered): Promise<void> {
    const { model, layers, seen } = answer;
    const canvas = byId<HTMLCanvasElement>("seen");
    paint(canvas, seen);
    showAnswer(answer, byId("bars"), byId("says"));
    const [height, width] = imageSize(model.net.config), { patchSize } = model.net.config;
    const grid = [height / patchSize, width / patchSize] as const;
    const place = byId("layers");
    const same = layers.length === this.#views.length &&
      layers.every((layer, i) => this.#views[i].fits(layer, grid));
    if (!same) {
      this.#views = layers.map((layer) => new LayerView(layer, grid));
      place.replaceChildren(
        ...layers.length > 0 ? this.#views.map(({ section }) => section) : [
          element("p", { class: "note" }, "This model is dense: it has no experts to route to."),
        ],
      );
    }
    const picture = canvas.toDataURL();
    for (const [i, layer] of layers.entries()) {
      await breathe();
      this.#views[i].update(layer, picture);
    }
    place.dataset.answers = String(++this.#answers);
    if (this.#device !== null) place.dataset.adapter = adapterName(this.#device);
    document.documentElement.dataset.ready = "";
  }
}

/** Lets the page do other things: drawing all layers at once would be felt by a pen that moves. */
const breathe = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

function describe({ label, net, model, described }: LoadedModel): string {
  const { embedDim, depth, numHeads, patchSize } = net.config,
    [height, width] = imageSize(net.config);
  const layers = model.moeLayers?.length ?? 0;
  const kind = layers === 0
    ? "dense ViT"
    : model.ifDualpath === false
    ? "Soft MoE ViT"
    : "SpheroMoE ViT";
  const size = net.learnedSize.toLocaleString("en");
  return `${label}: ${kind}, ${size} parameters, ${depth} blocks${
    layers === 0 ? "" : `, ${layers} with experts`
  }, ${embedDim} channels, ${numHeads} heads, images of ${height} × ${width} in patches of ${patchSize} × ${patchSize}${
    described ? "." : ". The file says nothing of itself: sizes are read off its weights."
  }`;
}
