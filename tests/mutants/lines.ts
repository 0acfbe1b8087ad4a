/**
 * The lines in which a mutant session and its runner talk.
 * @module
 */

/** Begins a line that is an answer; other lines are what tests print. */
export const ANSWER = "@mutants ";

/** Splits a stream of text at its newlines. */
export class TextLineStream extends TransformStream<string, string> {
  constructor() {
    let rest = "";
    super({
      transform(chunk, controller) {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop()!;
        for (const line of lines) controller.enqueue(line);
      },
      flush(controller) {
        if (rest !== "") controller.enqueue(rest);
      },
    });
  }
}
