import { MillraceError } from "@millrace/core";
import type { IncomingMessage } from "node:http";

/**
 * All of a request's body. Throws FRAME_TOO_LARGE as soon as it is known to be, and
 * RPC_CONNECTION_LOST when the client goes before its end.
 */
export function readBody(request: IncomingMessage, bytesMax: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const tooLarge = (size: number): void => {
      request.removeAllListeners("data");
      // Read on without keeping, so that the client sees the answer.
      request.resume();
      const message = `a request of at least ${size} bytes; maxFrameBytes is ${bytesMax}`;
      reject(new MillraceError("FRAME_TOO_LARGE", message));
    };
    const announced = Number(request.headers["content-length"] ?? 0);
    if (announced > bytesMax) {
      tooLarge(announced);
      return;
    }
    request.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > bytesMax) tooLarge(bytes);
      else chunks.push(chunk);
    });
    request.once("end", () => resolve(Buffer.concat(chunks)));
    request.once("close", () => {
      reject(
        new MillraceError("RPC_CONNECTION_LOST", "the client left in the middle of a request"),
      );
    });
  });
}
