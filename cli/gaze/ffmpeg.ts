/**
 * Frames of a video through the system's ffmpeg.
 * @module
 */
import type { Picture } from "../../data/gaze/mod.ts";
import { DataError } from "../../engine/errors.ts";
import { asRoot, currentDistribution, packageManagerOf, run } from "../system.ts";

const INSTALL = {
  apt: "apt-get install -y ffmpeg",
  dnf: "dnf install -y ffmpeg-free",
  pacman: "pacman -S --noconfirm ffmpeg",
  zypper: "zypper install -y ffmpeg",
} as const;

/** How to get ffmpeg on this system. */
export function ffmpegHelp(): string {
  const distribution = currentDistribution();
  const manager = distribution && packageManagerOf(distribution);
  if (manager !== undefined) return asRoot(INSTALL[manager]);
  if (Deno.build.os === "darwin") return "brew install ffmpeg";
  return Deno.build.os === "windows" ? "winget install ffmpeg" : "see https://ffmpeg.org/download";
}

/** Whether ffmpeg is in PATH. */
export async function hasFfmpeg(program = "ffmpeg"): Promise<boolean> {
  return (await run([program, "-version"])).code === 0;
}

/** A video, opened. */
export interface OpenVideo {
  /** Frames a second; undefined where ffprobe does not say. */
  readonly rate: number | undefined;
  /** Its frames from the first. Ending early stops ffmpeg. */
  frames(): AsyncGenerator<Picture>;
}

/**
 * Opens a video.
 * @param programs stand in for ffmpeg and ffprobe in tests
 * @throws {DataError} there is no ffmpeg (says how to install it), or the file holds no video that it can read; its
 * `frames` throw one where the rest cannot be decoded
 */
export async function openVideo(
  path: string,
  programs: { ffmpeg: string; ffprobe: string } = { ffmpeg: "ffmpeg", ffprobe: "ffprobe" },
): Promise<OpenVideo> {
  if (!await hasFfmpeg(programs.ffmpeg)) {
    throw new DataError(
      `${path} is read as a video, and there is no ffmpeg in PATH to decode it; install it:  ${ffmpegHelp()}`,
    );
  }
  // `file:` keeps a name with a colon from being read as an address.
  const probed = await run([
    programs.ffprobe,
    ...["-v", "error", "-select_streams", "v:0", "-show_entries", "stream=avg_frame_rate"],
    ...["-of", "csv=p=0", `file:${path}`],
  ]);
  const [over, under = "1"] = probed.stdout.trim().split(/[/,]/);
  const rate = Number(over) / Number(under);
  return {
    rate: rate > 0 && rate < Infinity ? rate : undefined,
    frames: () => decode(path, programs.ffmpeg),
  };
}

async function* decode(path: string, program: string): AsyncGenerator<Picture> {
  const child = new Deno.Command(program, {
    args: [
      ...["-nostdin", "-v", "error", "-i", `file:${path}`, "-map", "0:v:0"],
      ...["-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "-"],
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const complaints = new Response(child.stderr).text();
  let count = 0, finished = false;
  try {
    for await (const picture of ppmPictures(child.stdout)) {
      count++;
      yield picture;
    }
    const [{ code }, text] = await Promise.all([child.status, complaints]);
    finished = true;
    const lines = text.trim().split("\n");
    if (count === 0) {
      throw new DataError(`cannot read ${path}: ffmpeg finds no video in it (${lines.at(-1)})`);
    }
    if (code !== 0) {
      throw new DataError(`${path}: ffmpeg stopped after frame ${count - 1} (${lines.at(-1)})`);
    }
  } finally {
    if (!finished) {
      try {
        child.kill("SIGKILL");
      } catch {
        // It ended by itself in the same moment.
      }
      await Promise.all([child.status, complaints]);
    }
  }
}

/** The header of a PPM picture: P6, width, height, 255, each followed by one blank. */
const HEADER = /^P6\s(\d+)\s(\d+)\s255\s/;

/**
 * Pictures that follow each other in a stream of PPM files.
 * @throws {DataError} it holds something else, or ends within a picture
 */
export async function* ppmPictures(stream: ReadableStream<Uint8Array>): AsyncGenerator<Picture> {
  let chunks: Uint8Array[] = [], held = 0;
  let need = 0, size: { width: number; height: number } | undefined;
  for await (const chunk of stream) {
    chunks.push(chunk);
    held += chunk.length;
    while (held > 0 && held >= need) {
      const bytes = joined(chunks, held);
      let rest = bytes;
      if (size === undefined) {
        const text = new TextDecoder("latin1").decode(bytes.subarray(0, 32));
        const match = HEADER.exec(text);
        if (match === null && bytes.length >= 32) throw new DataError("a frame is no PPM picture");
        if (match === null) {
          chunks = [bytes];
          break;
        }
        size = { width: Number(match[1]), height: Number(match[2]) };
        need = 3 * size.width * size.height;
        rest = bytes.subarray(match[0].length);
      } else {
        yield { ...size, data: bytes.slice(0, need) };
        rest = bytes.subarray(need);
        size = undefined;
        need = 0;
      }
      chunks = [rest];
      held = rest.length;
    }
  }
  if (held > 0 || size !== undefined) throw new DataError("the last frame is cut off");
}

function joined(chunks: readonly Uint8Array[], length: number): Uint8Array {
  if (chunks.length === 1) return chunks[0];
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
