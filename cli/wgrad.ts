/**
 * `deno task wgrad COMMAND …`: wgrad on the command line. Each command is a module of `cli/wgrad/`, loaded when it is
 * called.
 * @module
 */
import { DTypeError, InterruptedError, ShapeError, WgradError } from "../engine/errors.ts";
import { ProgramError } from "./main.ts";
import { quietDrivers } from "./system.ts";

/** A command: what it does, in a line, and how it is started. */
interface Command {
  readonly about: string;
  readonly load: () => Promise<{ run(args: readonly string[]): Promise<void> }>;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  inspect: {
    about: "list the tensors of a checkpoint: FILE [--json] [--values] [--part NAME]",
    load: () => import("./wgrad/inspect.ts"),
  },
  info: {
    about: "what a model is and costs: --model NAME [--batch N] [--json]",
    load: () => import("./wgrad/info.ts"),
  },
  recycle: {
    about: "make a mixture of experts from a dense ViT: --from FILE --model NAME --out FILE",
    load: () => import("./wgrad/recycle.ts"),
  },
  "train-gaze": {
    about: "train MCGaze on synthetic clips: [--preset NAME] [--out DIR] [--resume] …",
    load: () => import("./wgrad/train_gaze.ts"),
  },
  gaze: {
    about: "where people look in a picture or video: INPUT [--out DIR] [--boxes FILE] …",
    load: () => import("./wgrad/gaze.ts"),
  },
  train: {
    about: "train a classifier by a recipe: --data SET --out DIR (--model NAME | --from FILE)",
    load: () => import("./wgrad/train.ts"),
  },
  eval: {
    about: "measure a trained model: FILE --data SET [--json]",
    load: () => import("./wgrad/eval.ts"),
  },
  export: {
    about: "write a trained model as an ONNX file: --from FILE --out FILE.onnx [--model NAME]",
    load: () => import("./wgrad/export.ts"),
  },
  routing: {
    about: "show how a mixture of experts routes images: FILE [IMAGE…] --out DIR [--data SET]",
    load: () => import("./wgrad/routing.ts"),
  },
};

function usage(): string {
  const lines = Object.entries(COMMANDS).map(([name, { about }]) =>
    `  ${name.padEnd(12)} ${about}`
  );
  return `Usage: deno task wgrad COMMAND …\n\n${lines.join("\n")}`;
}

/** Runs one command; the exit code is 0, 1 (an error that is told), 2 (wrong usage) or 130 (interrupted). */
async function main([name = "--help", ...args]: readonly string[]): Promise<number> {
  if (name === "--help" || name === "-h") {
    console.log(usage());
    return 0;
  }
  if (!Object.hasOwn(COMMANDS, name)) {
    console.error(`wgrad: there is no command ${JSON.stringify(name)}\n${usage()}`);
    return 2;
  }
  quietDrivers();
  try {
    await (await COMMANDS[name].load()).run(args);
    return 0;
  } catch (error) {
    if (error instanceof ProgramError) {
      console.error(`wgrad ${name}: ${error.message}`);
      return error.exitCode;
    }
    const known = error instanceof WgradError || error instanceof ShapeError ||
      error instanceof DTypeError;
    if (!known) throw error;
    console.error(`${error.name}: ${error.message}`);
    return error instanceof InterruptedError ? 130 : 1;
  }
}

Deno.exitCode = await main(Deno.args);
