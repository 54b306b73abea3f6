import type { Duplex } from "node:stream";

/**
 * The bytes that come first, left in the stream for whoever reads it next; undefined when it ends
 * without one. Nobody may read the stream meanwhile.
 */
export function firstBytes(stream: Duplex): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void): void => {
      stream.off("readable", onReadable);
      stream.off("end", onEnd);
      stream.off("close", onEnd);
      stream.off("error", onError);
      finish();
    };
    const onReadable = (): void => {
      const chunk = stream.read() as Buffer | null;
      if (chunk === null) return;
      settle(() => {
        stream.unshift(chunk);
        resolve(chunk);
      });
    };
    const onEnd = (): void => settle(() => resolve(undefined));
    const onError = (error: Error): void => settle(() => reject(error));
    if (stream.destroyed || stream.readableEnded) {
      resolve(undefined);
      return;
    }
    stream.on("readable", onReadable);
    stream.on("end", onEnd);
    stream.on("close", onEnd);
    stream.on("error", onError);
  });
}
