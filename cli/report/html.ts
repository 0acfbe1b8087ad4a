/**
 * The smallest HTML helpers that a self-contained report needs.
 * @module
 */

/** Text made safe inside HTML and attributes. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

/** An uncompressed bitmap as a data URI; every browser shows it and nothing has to be fetched. */
export function bitmapUri(
  width: number,
  height: number,
  rgb: (x: number, y: number) => readonly [number, number, number],
): string {
  const stride = Math.ceil(3 * width / 4) * 4;
  const bytes = new Uint8Array(54 + stride * height);
  const view = new DataView(bytes.buffer);
  bytes.set([0x42, 0x4d]); // "BM"
  view.setUint32(2, bytes.length, true);
  view.setUint32(10, 54, true); // where the pixels start
  view.setUint32(14, 40, true); // size of the information header
  view.setInt32(18, width, true);
  view.setInt32(22, -height, true); // negative: rows from the top
  view.setUint16(26, 1, true);
  view.setUint16(28, 24, true);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [r, g, b] = rgb(x, y);
      bytes.set([b, g, r], 54 + y * stride + 3 * x);
    }
  }
  return `data:image/bmp;base64,${btoa(String.fromCharCode(...bytes))}`;
}

/** A complete page without scripts or external files, in light and dark. */
export function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
<main>
${body}
</main>
</html>
`;
}

const STYLE = `
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5d6878; --line: #d9dee6; --page: #fff; --card: #f6f8fa;
  --a: #1f6feb; --b: #c2570c; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaf0; --soft: #9aa6b6; --line: #313a46; --page: #11161c; --card: #1a2129; --a: #6cb0ff; --b: #ff9d5c; }
}
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
p { max-width: 46rem; } .soft { color: var(--soft); font-size: .9rem; }
.row { display: flex; flex-wrap: wrap; gap: 1.25rem; } .row > * { flex: 1 1 20rem; min-width: 0; }
.big { background: var(--card); border-radius: .6rem; padding: 1rem 1.25rem; flex-basis: 13rem; }
.big b { display: block; font-size: 2.2rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.a { color: var(--a); } .b { color: var(--b); }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
.chart { max-width: 46rem; margin: 1rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; } td, th { padding: .25rem .75rem .25rem 0; text-align: left; vertical-align: top; }
th { color: var(--soft); font-weight: 500; }
.matrix td { width: 2.1rem; height: 2.1rem; padding: 0; text-align: center; vertical-align: middle; font-size: .75rem; border: 1px solid var(--page); }
.matrix th { padding: .2rem .4rem; text-align: center; vertical-align: middle; }
.experts { display: grid; grid-template-columns: repeat(auto-fill, minmax(3.4rem, 1fr)); gap: .4rem; }
.experts figure { margin: 0; } .experts figcaption { font-size: .68rem; color: var(--soft); text-align: center; }
.patch { aspect-ratio: 1; border-radius: .25rem; background-size: 100% 100%; background-blend-mode: screen; image-rendering: pixelated; }
.core { outline: 2px solid var(--b); outline-offset: -2px; }
details { border-top: 1px solid var(--line); padding: .6rem 0; } summary { cursor: pointer; }
.digit { width: 3.2rem; height: 3.2rem; image-rendering: pixelated; border-radius: .25rem; vertical-align: middle; margin-right: .75rem; }
`;
