import { MillraceError } from "@millrace/core";
import type { IncomingMessage } from "node:http";

const bytesFirst = 4096;

/**
 * All of a request's body. Throws FRAME_TOO_LARGE as soon as it is known to be, and
 * RPC_CONNECTION_LOST when the client goes before its end.
 */
export function readBody(request: IncomingMessage, bytesMax: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let body = Buffer.alloc(0);
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
      if (bytes + chunk.length > bytesMax) {
        tooLarge(bytes + chunk.length);
        return;
      }
      // Copied at once: a client that sends single bytes would have an object for each.
      if (bytes + chunk.length > body.length) {
        const grown = Buffer.allocUnsafe(
          Math.max(bytes + chunk.length, body.length * 2, bytesFirst),
        );
        body.copy(grown, 0, 0, bytes);
        body = grown;
      }
      bytes += chunk.copy(body, bytes);
    });
    request.once("end", () => resolve(body.subarray(0, bytes)));
    request.once("close", () => {
      reject(
        new MillraceError("RPC_CONNECTION_LOST", "the client left in the middle of a request"),
      );
    });
  });
}
