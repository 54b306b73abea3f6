import type { Socket } from "node:net";

/**
 * Resets the connection. One whose end is being sent is closed instead: Node.js answers its reset with
 * EINVAL and leaves it open, and the process then never exits (seen with 20.20, 22.23 and 24.21).
 */
export function resetConnection(socket: Socket): void {
  if (socket.writableEnded && !socket.writableFinished) socket.destroy();
  else socket.resetAndDestroy();
}
