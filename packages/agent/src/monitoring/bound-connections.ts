import type { Server } from "node:http";
import type { Socket } from "node:net";

/**
 * Keeps a server to so many connections. Of those that ask nothing the oldest go, not the new one:
 * whoever opens connections and is silent must not keep kubelet's probes out.
 */
export function boundConnections(server: Server, max: number): void {
  const open = new Set<Socket>();
  const idle = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    open.add(socket);
    idle.add(socket);
    socket.once("close", () => {
      open.delete(socket);
      idle.delete(socket);
    });
    const [oldest] = idle;
    if (open.size > max) oldest?.destroy();
  });
  server.on("request", ({ socket }, response) => {
    idle.delete(socket);
    response.once("close", () => {
      if (open.has(socket)) idle.add(socket);
    });
  });
}
