import type { Clock, Timer } from "@millrace/core";

/** Says a line at once, and how often it was said again while it was held back. */
export interface RepeatFolder {
  /** `say` is called now with 0, or at the end of the window with the number of repeats. */
  add(key: string, say: (repeats: number) => void): void;
  /** Says what is held back; for the end. */
  flush(): void;
}

const keysMax = 1000;

interface Held {
  repeats: number;
  say: (repeats: number) => void;
  readonly timer: Timer;
}

/**
 * The first line of a key is said at once. Its repeats within `windowMs` are counted and said as one
 * line at the window's end; then the next window begins, until a window passes without a repeat.
 */
export function createRepeatFolder(clock: Clock, windowMs: number): RepeatFolder {
  const held = new Map<string, Held>();

  const open = (key: string, say: Held["say"]): void => {
    held.set(key, { repeats: 0, say, timer: clock.setTimer(windowMs, () => close(key)) });
  };
  const close = (key: string): void => {
    const line = held.get(key);
    held.delete(key);
    if (line === undefined || line.repeats === 0) return;
    line.say(line.repeats);
    open(key, line.say);
  };

  return {
    add(key, say) {
      const line = held.get(key);
      if (line !== undefined) {
        line.repeats++;
        line.say = say;
        return;
      }
      say(0);
      if (held.size < keysMax) open(key, say);
    },
    flush() {
      for (const { repeats, say, timer } of held.values()) {
        timer.cancel();
        if (repeats > 0) say(repeats);
      }
      held.clear();
    },
  };
}
