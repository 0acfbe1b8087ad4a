/**
 * The ladder of a pass as HTML: for each rung its facts, its code, and what it changes against the rung before.
 * @module
 */
import { diffArrays } from "diff";
import type { Kernel, Program } from "../../kernels/kernel.ts";
import type { Pass, Rung } from "../atlas/chapter.ts";
import { codeBlock, type Highlight } from "./highlight.ts";
import { type Html, html } from "./html.ts";

/** A pass as a section; `id` is unique on the page. */
export function ladder(pass: Pass, index: number, highlight: Highlight): Html {
  const id = `pass-${index}`;
  return html`
    <section class="pass" id="${id}" data-pass="${index}" aria-labelledby="${id}-title">
      <h2 id="${id}-title">${pass.title}</h2>
      <div class="tabs" role="tablist" aria-label="Rungs of ${pass.title}">
        ${pass.rungs.map((rung, k) =>
          html`
            <button role="tab" id="${id}-tab-${k}" aria-controls="${id}-rung-${k}"
              aria-selected="${String(k === 0)}" tabindex="${k === 0 ? 0 : -1}">${k + 1}. ${rung
                .title}</button>
          `
        )}
      </div>
      ${pass.rungs.map((rung, k) => panel(pass, rung, k, id, highlight))}
      <div class="measure">
        <p>Timed at ${pass.size}. <button class="run-all" type="button">Run ${pass.rungs.length > 1
          ? "every rung"
          : "it"} here</button></p>
        <div class="results" aria-live="polite"></div>
        <div class="roofline"></div>
      </div>
    </section>
  `;
}

function panel(pass: Pass, rung: Rung, k: number, id: string, highlight: Highlight): Html {
  const { kernel: small } = rung.picture(), { kernel } = rung.timed();
  const before = k > 0 ? pass.rungs[k - 1].timed().kernel.program : null;
  const { program } = kernel;
  return html`
    <div class="rung" role="tabpanel" id="${id}-rung-${k}"
      aria-labelledby="${id}-tab-${k}" data-rung="${k}" ${k === 0 ? null : html`
        hidden
      `}>
      <p class="rung-name"><code>${program.name}</code> · ${program
        .variant} · in <a href="source/kernels/${rung.file}.html">kernels/${rung.file}</a></p>
      <div class="picture" role="group" aria-label="Which invocation computes what, and what it reads, for ${describe(
        small,
      )}"></div>
      ${facts(kernel)}
      <details class="shader"><summary>WGSL (${lineCount(program)} lines)</summary>${codeBlock(
        highlight(program.code, "wgsl").map((line) => ({ line })),
      )}</details>
      ${before === null
        ? null
        : html`<details class="shader"><summary>What changed since the rung before</summary>${
          difference(before, program, highlight)
        }</details>`}
    </div>
  `;
}

function lineCount({ code }: Program): number {
  return code.split("\n").length;
}

function describe({ params }: Kernel): string {
  return Object.entries(params).map(([name, value]) => `${name} ${value}`).join(", ");
}

/** The rung's lines with those it lost and those it gained. */
function difference(before: Program, after: Program, highlight: Highlight): Html {
  const lines = {
    removed: highlight(before.code, "wgsl"),
    added: highlight(after.code, "wgsl"),
  };
  const at = { removed: 0, added: 0 };
  const marked: { line: Html; mark?: "added" | "removed" }[] = [];
  for (
    const { count = 0, added, removed } of diffArrays(
      before.code.split("\n"),
      after.code.split("\n"),
    )
  ) {
    for (let i = 0; i < count; i++) {
      if (removed) marked.push({ line: lines.removed[at.removed++], mark: "removed" });
      else if (added) marked.push({ line: lines.added[at.added++], mark: "added" });
      else {
        at.removed++;
        marked.push({ line: lines.added[at.added++] });
      }
    }
  }
  return codeBlock(marked);
}

function facts({ program, workgroups, flops, bytes }: Kernel): Html {
  const items: [string, string][] = [
    ["Workgroup", `${program.workgroupSize} invocations`],
    ["Launched", `${count(workgroups.reduce((a, b) => a * b))} workgroups`],
    ["Workgroup memory", program.workgroupBytes > 0 ? `${program.workgroupBytes} bytes` : "none"],
    ["Storage buffers", `${program.bindings.length} of 8`],
    [
      "Needs",
      program.features.length > 0 ? program.features.join(", ") : "default limits, no feature",
    ],
    ["Operations", `${count(flops)}`],
    ["Bytes at least", `${count(bytes)}`],
    ["Arithmetic intensity", `${(flops / bytes).toPrecision(3)} operations a byte`],
  ];
  return html`<dl class="facts">${
    items.map(([name, value]) =>
      html`
        <div>
          <dt>${name}</dt>
          <dd>${value}</dd>
        </div>
      `
    )
  }</dl>`;
}

function count(value: number): string {
  return Math.round(value).toLocaleString("en");
}
