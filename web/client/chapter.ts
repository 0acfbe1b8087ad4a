/**
 * Brings a page of the atlas to life: tabs, pictures, and the buttons that run kernels here.
 * @module
 */
import type { Pass } from "../atlas/chapter.ts";
import { CHAPTERS } from "../atlas/chapters.ts";
import { showAdapter } from "./device.ts";
import { measure } from "./measure.ts";
import { drawPicture } from "./picture.ts";

const article = document.querySelector<HTMLElement>("[data-chapter]")!;
const chapter = CHAPTERS.find(({ slug }) => slug === article.dataset.chapter)!;
const device = showAdapter();

/** Draws the picture of a rung when it is first seen. */
const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    const picture = target as HTMLElement;
    const pass = Number(picture.closest<HTMLElement>("[data-pass]")!.dataset.pass);
    const rung = Number(picture.closest<HTMLElement>("[data-rung]")!.dataset.rung);
    drawPicture(picture, chapter.passes[pass].rungs[rung].picture(), device).catch((error) => {
      picture.textContent = error instanceof Error ? error.message : String(error);
      picture.dataset.failed = "";
      console.error(error);
    });
  }
}, { rootMargin: "400px" });

function choose(tabs: readonly HTMLElement[], chosen: number): void {
  tabs.forEach((tab, k) => {
    tab.setAttribute("aria-selected", String(k === chosen));
    tab.tabIndex = k === chosen ? 0 : -1;
    document.getElementById(tab.getAttribute("aria-controls")!)!.hidden = k !== chosen;
  });
}

/** Tabs as assistive technology expects them: one is in the tab order, arrows move between them. */
function listen(section: HTMLElement, pass: Pass): void {
  const tabs = [...section.querySelectorAll<HTMLElement>("[role=tab]")];
  tabs.forEach((tab, k) => {
    tab.addEventListener("click", () => choose(tabs, k));
    tab.addEventListener("keydown", ({ key }) => {
      const step = key === "ArrowRight" ? 1 : key === "ArrowLeft" ? -1 : 0;
      if (step === 0) return;
      const next = (k + step + tabs.length) % tabs.length;
      choose(tabs, next);
      tabs[next].focus();
    });
  });
  section.querySelector(".run-all")!.addEventListener("click", () => measure(section, pass));
  section.querySelectorAll(".picture").forEach((picture) => seen.observe(picture));
}

chapter.passes.forEach((pass, i) =>
  listen(document.querySelector<HTMLElement>(`[data-pass="${i}"]`)!, pass)
);
document.documentElement.dataset.ready = "";
