/**
 * A mutant session in a Deno process of its own: requests as JSON lines on stdin, answers as marked lines on stdout.
 *
 * A process, because a mutant may put the GPU into an endless loop, which only an end of the process ends.
 * @module
 */
import { ANSWER, TextLineStream } from "./lines.ts";

Reflect.set(globalThis, "wgradListTests", true);
const { mutantSession } = await import("./session.ts");

if (import.meta.main) {
  const lines = Deno.stdin.readable.pipeThrough(new TextDecoderStream())
    .pipeThrough(new TextLineStream());
  for await (const line of lines) {
    const [method, ...args] = JSON.parse(line);
    let answer: unknown;
    try {
      // deno-lint-ignore no-explicit-any -- the parent calls it by the interface's type
      answer = { value: await (mutantSession as any)[method](...args) };
    } catch (error) {
      answer = { error: String(error) };
    }
    console.log(ANSWER + JSON.stringify(answer));
  }
}
