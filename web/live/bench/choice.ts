/**
 * The boxes that say what to measure: one for each workload, and one for each group, which stands for all of its own.
 * @module
 */
import { byId } from "../moe/elements.ts";

/** What is chosen on the page. */
export class Choice {
  readonly #form = byId<HTMLFormElement>("groups");

  constructor() {
    this.#form.addEventListener("change", ({ target }) => {
      const box = target as HTMLInputElement;
      if ("group" in box.dataset) {
        for (const own of boxesOf(box.closest("fieldset")!)) own.checked = box.checked;
      }
      this.#show();
    });
    this.#onClick("quick", (box) => "quick" in box.dataset);
    this.#onClick("all", () => true);
    this.#onClick("none", () => false);
    this.#show();
  }

  /** Places of the chosen workloads in their table. */
  get indexes(): number[] {
    return boxesOf(this.#form).filter(({ checked }) => checked).map(({ value }) => Number(value));
  }

  #onClick(id: string, wanted: (box: HTMLInputElement) => boolean): void {
    byId(id).addEventListener("click", () => {
      for (const box of boxesOf(this.#form)) box.checked = wanted(box);
      this.#show();
    });
  }

  /** Groups that are chosen in part, and the count. */
  #show(): void {
    for (const group of this.#form.querySelectorAll("fieldset")) {
      const own = boxesOf(group), chosen = own.filter(({ checked }) => checked).length;
      const box = group.querySelector<HTMLInputElement>("[data-group]")!;
      box.checked = chosen === own.length;
      box.indeterminate = chosen > 0 && chosen < own.length;
    }
    byId("count").textContent = `${this.indexes.length} of ${boxesOf(this.#form).length} chosen`;
  }
}

function boxesOf(place: HTMLElement): HTMLInputElement[] {
  return [...place.querySelectorAll<HTMLInputElement>("input[value]")];
}
