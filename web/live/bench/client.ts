/**
 * Brings the page that measures to life. The measuring is a worker's; Stop ends that worker, whatever it is at.
 * @module
 */
import { showAdapter } from "../../client/device.ts";
import { byId, complain } from "../moe/elements.ts";
import { type Agent, browserName } from "./browser.ts";
import { Choice } from "./choice.ts";
import type { News, Order } from "./messages.ts";
import { Results } from "./results.ts";

const start = byId<HTMLButtonElement>("start"), stop = byId<HTMLButtonElement>("stop");
const progress = byId("progress"), bar = byId<HTMLProgressElement>("bar");
const choice = new Choice(), results = new Results();
let worker: Worker | null = null;

start.addEventListener("click", () => begin());
stop.addEventListener("click", () => end("stopped", "Stopped"));
await showAdapter().then((device) => {
  if (device === null) explainMissing();
});
document.documentElement.dataset.ready = "";

/** Without WebGPU the page still says what there would be. */
function explainMissing(): void {
  const place = byId("missing");
  place.textContent = `Nothing can be measured on this page here. ${byId("adapter").textContent}`;
  place.hidden = false;
  progress.textContent = "Measuring needs WebGPU.";
  start.disabled = true;
}

async function begin(): Promise<void> {
  complain("failed", null);
  const chosen = choice.indexes;
  if (chosen.length === 0) return complain("failed", new Error("Choose a workload first."));
  const effort = byId<HTMLSelectElement>("effort").value as Order["effort"];
  const order: Order = { runtime: await browserName(navigator as Agent), effort, chosen };
  worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  worker.addEventListener("message", ({ data }: MessageEvent<News>) => hear(data, chosen.length));
  worker.addEventListener("error", ({ message }) => {
    fail(message || "the worker that measures did not start");
  });
  swap(start, stop);
  bar.max = chosen.length;
  bar.value = 0;
  say("measuring", "Measuring what this adapter can do at best …");
  worker.postMessage(order);
}

function hear(news: News, total: number): void {
  if (worker === null) return; // it was stopped with a message on its way
  if (news.kind === "started") results.begin(news.session);
  else if (news.kind === "begun") {
    bar.value = news.place;
    say("measuring", `${news.place + 1} of ${total}: ${news.name} …`);
  } else if (news.kind === "measured") results.add(news);
  else if (news.kind === "failed") fail(news.message);
  else {
    bar.value = total;
    const { failures } = results;
    end(
      "finished",
      failures === 0 ? "Finished, every check passed" : `Finished, ${failures} failed`,
    );
  }
}

function fail(message: string): void {
  complain("failed", new Error(message));
  end("failed", "It failed");
}

function end(state: string, words: string): void {
  worker?.terminate();
  worker = null;
  swap(stop, start);
  say(state, `${words}: ${bar.value} of ${bar.max} workloads measured.`);
}

function say(state: string, words: string): void {
  progress.textContent = words;
  progress.dataset.state = state;
}

/** One button goes to sleep and the other wakes, with the keyboard's focus where the first had it. */
function swap(from: HTMLButtonElement, to: HTMLButtonElement): void {
  const focused = document.activeElement === from;
  to.disabled = false;
  if (focused) to.focus();
  from.disabled = true;
}
