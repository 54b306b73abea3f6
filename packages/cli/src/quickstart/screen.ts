import { renderElapsed, renderTotals, renderView, type View } from "./view.ts";

/** Where text goes: a terminal, or a pipe that should not see escape sequences. */
export interface TextOutput {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/**
 * On a terminal the story scrolls above a picture that is drawn again in its place; in a pipe there
 * is the story, and the totals every few seconds.
 */
export interface Screen {
  /** Lines as they are. */
  print(...lines: readonly string[]): void;
  /** A line of the story, with the time. */
  tell(elapsedMs: number, text: string): void;
  show(view: View): void;
  /** Takes the picture away; what is printed after this stays. */
  finish(): void;
}

const totalsEveryMs = 2_000;

export function createScreen(output: TextOutput): Screen {
  let pictureLines = 0;
  let last: View | undefined;
  let totalsAtMs = -Infinity;

  function erase(): void {
    if (pictureLines > 0) output.write(`\u001B[${pictureLines}A\r\u001B[J`);
    pictureLines = 0;
  }

  function draw(): void {
    if (last === undefined) return;
    const width = output.columns ?? 100;
    const lines = renderView(last).map((line) => line.slice(0, width));
    output.write(`${lines.join("\n")}\n`);
    pictureLines = lines.length;
  }

  function print(...lines: readonly string[]): void {
    erase();
    for (const line of lines) output.write(`${line}\n`);
    if (output.isTTY === true) draw();
  }

  return {
    print,
    tell: (elapsedMs, text) => print(`  ${renderElapsed(elapsedMs)}  ${text}`),
    show(view) {
      if (output.isTTY === true) {
        erase();
        last = view;
        draw();
      } else if (view.elapsedMs - totalsAtMs >= totalsEveryMs) {
        totalsAtMs = view.elapsedMs;
        print(`  ${renderElapsed(view.elapsedMs)}  ${renderTotals(view.totals)}`);
      }
    },
    finish() {
      erase();
      last = undefined;
    },
  };
}
