/**
 * Rewriting every access to a binding in a finished shader: so a kernel is written once, and its buffers may hold halves
 * (half.ts) or be read through textures (texels.ts).
 * @module
 */

/** WGSL of a load and of a stored value, from what stood there. */
export interface AccessForm {
  /** From `name[index]`. */
  readonly load: (element: string) => string;
  /** From the value that is stored. */
  readonly store: (value: string) => string;
}

/** Puts the conversions around every `name[...]` of a shader. Only whole elements may be loaded and stored. */
export function convertAccesses(
  code: string,
  name: string,
  form: AccessForm,
  program: string,
): string {
  const access = new RegExp(`(?<![.\\w])${name}\\[`, "g");
  let out = "", at = 0;
  for (let match = access.exec(code); match; match = access.exec(code)) {
    const start = match.index, line = code.lastIndexOf("\n", start) + 1;
    if (code.slice(line, start).includes("//")) continue;
    const end = closing(code, access.lastIndex, "]") + 1;
    const element = name + "[" +
      convertAccesses(code.slice(access.lastIndex, end - 1), name, form, program) + "]";
    const after = code.slice(end);
    if (code[start - 1] === "&" || /^\.\w+\s*[-+*/]?=[^=]/.test(after)) {
      throw new Error(
        `${program}: ${name} is used by reference or in part; only whole elements can be rewritten`,
      );
    }
    const assign = /^\s*([-+*/]?)=(?!=)\s*/.exec(after);
    out += code.slice(at, start);
    if (assign === null) {
      out += form.load(element);
      at = end;
    } else {
      const first = end + assign[0].length;
      at = closing(code, first, ";");
      const value = convertAccesses(code.slice(first, at), name, form, program);
      const sum = assign[1] === "" ? value : `${form.load(element)} ${assign[1]} (${value})`;
      out += `${element} = ${form.store(sum)}`;
    }
    access.lastIndex = at;
  }
  return out + code.slice(at);
}

/** Where `what` stands outside of brackets that open after `from`. */
function closing(code: string, from: number, what: string): number {
  let depth = 0;
  for (let i = from; i < code.length; i++) {
    if (depth === 0 && code[i] === what) return i;
    if ("([{".includes(code[i])) depth++;
    else if (")]}".includes(code[i])) depth--;
  }
  throw new Error(`a shader lacks "${what}"`);
}
