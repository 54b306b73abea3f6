import { type Runtime, sleep, writeFully } from "@millrace/core";

/** Adds lines to a log file at a steady rate, as a busy program would. */
export interface Writer {
  readonly written: number;
  readonly finished: boolean;
  /** Writes until `linesMax` or the abort. */
  run(stopped: AbortSignal): Promise<void>;
}

export interface WriterOptions {
  readonly path: string;
  readonly linesPerSecond: number;
  readonly linesMax: number | undefined;
}

const tickMs = 50;

export function createWriter({ clock, files }: Runtime, options: WriterOptions): Writer {
  const { path, linesPerSecond, linesMax = Infinity } = options;
  let written = 0;
  let finished = false;

  function lines(count: number): Buffer {
    const time = new Date(clock.now()).toISOString();
    const text: string[] = [];
    for (let i = 0; i < count; i++) {
      const number = String(++written).padStart(9, "0");
      text.push(`${time} INFO  [writer] line ${number} of the busy program next door\n`);
    }
    return Buffer.from(text.join(""));
  }

  return {
    get written() {
      return written;
    },
    get finished() {
      return finished;
    },
    async run(stopped) {
      const handle = await files.open(path, "append");
      try {
        const began = clock.monotonic();
        while (!stopped.aborted && written < linesMax) {
          const due = Math.floor(((clock.monotonic() - began) / 1000) * linesPerSecond);
          const most = Math.ceil((linesPerSecond * tickMs) / 250);
          const count = Math.min(due - written, most, linesMax - written);
          if (count > 0) await writeFully(handle, [lines(count)], 0);
          await sleep(clock, tickMs, stopped);
        }
      } finally {
        finished = true;
        await handle.close();
      }
    },
  };
}
