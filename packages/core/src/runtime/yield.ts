/**
 * Lets timers, signals and sockets have their turn. A loop whose every step is ready at once would
 * never leave the microtask queue, and the agent could not even be told to stop.
 */
export function yieldToEventLoop(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** How many rounds a loop goes before it lets the event loop turn: its cost is then not noticed. */
export const roundsPerTurn = 32;
