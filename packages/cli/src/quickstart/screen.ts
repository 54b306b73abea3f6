import { createPicture, type TextOutput } from "../terminal/picture.ts";
import { renderElapsed, renderTotals, renderView, type View } from "./view.ts";

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
  const picture = createPicture(output);
  let last: View | undefined;
  let totalsAtMs = -Infinity;

  function draw(): void {
    if (last !== undefined) picture.draw(renderView(last));
  }

  function print(...lines: readonly string[]): void {
    picture.erase();
    for (const line of lines) output.write(`${line}\n`);
    if (output.isTTY === true) draw();
  }

  return {
    print,
    tell: (elapsedMs, text) => print(`  ${renderElapsed(elapsedMs)}  ${text}`),
    show(view) {
      if (output.isTTY === true) {
        last = view;
        draw();
      } else if (view.elapsedMs - totalsAtMs >= totalsEveryMs) {
        totalsAtMs = view.elapsedMs;
        print(`  ${renderElapsed(view.elapsedMs)}  ${renderTotals(view.totals)}`);
      }
    },
    finish() {
      picture.erase();
      last = undefined;
    },
  };
}
