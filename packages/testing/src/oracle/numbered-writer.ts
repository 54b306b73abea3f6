import { type ArrivalJudge, encodeNumberedLine, type Random } from "@millrace/core";
import { type FileHandle, open } from "node:fs/promises";
import { basename } from "node:path";

export interface NumberedWriterOptions {
  readonly judge: ArrivalJudge;
  /** The files to append to; made when missing. A file's stream is its base name. */
  readonly paths: readonly string[];
  /** All files together. */
  readonly linesPerSecond: number;
  /** Texts are up to twice as long as this on average. */
  readonly lineBytes: number;
  readonly random: Random;
}

/** Appends numbered lines and tells the judge of each before it is written. */
export interface NumberedWriter {
  readonly written: number;
  /** Writes steadily until stopped. */
  start(): void;
  /** Resolves when the last write is done. */
  stop(): Promise<void>;
  /** That many lines at once, to each file in turn. */
  write(count: number): Promise<void>;
  close(): Promise<void>;
}

const tickMs = 50;

export async function createNumberedWriter(
  options: NumberedWriterOptions,
): Promise<NumberedWriter> {
  const { judge, random } = options;
  const files = await Promise.all(
    options.paths.map(async (path) => ({
      stream: basename(path),
      handle: await open(path, "a"),
      lines: 0,
      endOffset: 0,
    })),
  );
  let written = 0;
  let turn = 0;
  let running: Promise<void> | undefined;
  let stopping = false;

  async function write(count: number): Promise<void> {
    const file = files[turn++ % files.length];
    if (file === undefined || count === 0) return;
    const lines: Buffer[] = [];
    for (let i = 0; i < count; i++) {
      const text = randomText(random, options.lineBytes);
      const line = encodeNumberedLine(file.stream, file.lines++, text);
      file.endOffset += line.length + 1;
      judge.issue(file.stream, line, file.endOffset);
      lines.push(line, lineFeed);
    }
    await writeAll(file.handle, Buffer.concat(lines));
    written += count;
  }

  async function run(): Promise<void> {
    const began = performance.now();
    const before = written;
    while (!stopping) {
      await new Promise((resolve) => setTimeout(resolve, tickMs));
      const due = ((performance.now() - began) / 1000) * options.linesPerSecond;
      const behind = Math.floor(due) - (written - before);
      // After a pause of the machine the rate goes on; what was not written then is not made up.
      await write(Math.min(behind, Math.ceil((options.linesPerSecond * tickMs) / 250)));
    }
  }

  return {
    get written() {
      return written;
    },
    start() {
      stopping = false;
      running ??= run();
    },
    async stop() {
      stopping = true;
      await running;
      running = undefined;
    },
    write,
    async close() {
      stopping = true;
      await running;
      await Promise.all(files.map(({ handle }) => handle.close()));
    },
  };
}

const lineFeed = Buffer.from("\n");
const letters = "abcdefghijklmnopqrstuvwxyz äöü{}=,: \t\"'0123456789";

function randomText(random: Random, bytes: number): string {
  const length = random.integer(bytes * 2);
  const start = random.integer(letters.length);
  return (letters.slice(start) + letters.repeat(Math.ceil(length / letters.length))).slice(
    0,
    length,
  );
}

async function writeAll(handle: FileHandle, bytes: Buffer): Promise<void> {
  let at = 0;
  while (at < bytes.length) at += (await handle.write(bytes, at)).bytesWritten;
}
