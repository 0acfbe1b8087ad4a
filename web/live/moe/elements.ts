/**
 * The page's elements by their ids, as `page.ts` writes them.
 * @module
 */

/** An element that is on the page. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found as T;
}

/** What to say of an error; one that is nobody's fault but ours goes to the console too. */
export function messageOf(error: unknown): string {
  const known = error instanceof Error;
  if (!known || error instanceof TypeError && error.constructor === TypeError) console.error(error);
  return known ? error.message : String(error);
}

/** Shows an error at its place; null takes it away. */
export function complain(id: string, error: unknown): void {
  const place = byId(id);
  place.textContent = error === null ? "" : messageOf(error);
  place.hidden = error === null;
}

/** Calls `use` with the file that somebody chose; the same file can be chosen again. */
export function onFile(id: string, use: (file: File) => void): void {
  const input = byId<HTMLInputElement>(id);
  input.addEventListener("change", () => {
    const file = input.files?.[0];
    if (file !== undefined) use(file);
    input.value = "";
  });
}
