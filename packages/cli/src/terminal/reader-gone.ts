import type { Writable } from "node:stream";

/**
 * Calls `then` when nobody reads the output any more, as after `head`: that is no error. Holds until the
 * process ends, as the news may come after the last line was written.
 */
export function onReaderGone(output: Writable, then: () => void): void {
  output.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    then();
  });
}
