const numbers = { SIGINT: 2, SIGTERM: 15 } as const;

export interface Signals {
  /** Resolves at the first signal that asks to stop. */
  readonly asked: Promise<NodeJS.Signals>;
  /** Gives the signals back to Node.js. */
  release(): void;
}

const noHarm = (): void => {};

/**
 * A SIGHUP while an agent still reads its configuration, or already ends, would kill it: nothing is
 * lost by not reading again what is being read.
 */
export function outliveHangUps(): void {
  process.off("SIGHUP", noHarm).on("SIGHUP", noHarm);
}

/**
 * The first SIGTERM or SIGINT asks the agent to stop; the second ends the process at once, with 128
 * and the signal's number. SIGHUP, which would end a process that does not know it, is told to
 * `onHangUp`.
 */
export function listenToSignals(onHangUp: () => void): Signals {
  let seen = false;
  let tell: (signal: NodeJS.Signals) => void = () => {};
  const asked = new Promise<NodeJS.Signals>((resolve) => (tell = resolve));
  const onStop = (signal: NodeJS.Signals): void => {
    if (seen) process.exit(128 + numbers[signal as keyof typeof numbers]);
    seen = true;
    tell(signal);
  };
  process.on("SIGINT", onStop).on("SIGTERM", onStop).on("SIGHUP", onHangUp);
  return {
    asked,
    release() {
      process.off("SIGINT", onStop).off("SIGTERM", onStop).off("SIGHUP", onHangUp);
    },
  };
}
