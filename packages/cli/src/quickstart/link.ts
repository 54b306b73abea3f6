import { resetConnection } from "@millrace/core";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** The cable between the edge and a collector. Stalled, it stays plugged in and carries nothing. */
export interface Link {
  readonly port: number;
  readonly stalled: boolean;
  setStalled(stalled: boolean): void;
  close(): Promise<void>;
}

export async function openLink(targetPort: number): Promise<Link> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let stalled = false;
  const listener = createServer((near) => {
    const far = connect({ host: "127.0.0.1", port: targetPort });
    const pair = [near, far] as const;
    pairs.add(pair);
    carry(near, far, () => stalled);
    carry(far, near, () => stalled);
    for (const socket of pair) {
      socket.on("error", () => undefined);
      socket.on("close", () => {
        pairs.delete(pair);
        resetConnection(near);
        resetConnection(far);
      });
    }
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  return {
    port: (listener.address() as AddressInfo).port,
    get stalled() {
      return stalled;
    },
    setStalled(next) {
      stalled = next;
      for (const socket of [...pairs].flat()) {
        if (stalled) socket.pause();
        else socket.resume();
      }
    },
    async close() {
      for (const socket of [...pairs].flat()) socket.destroy();
      await new Promise<void>((resolve) => listener.close(() => resolve()));
    },
  };
}

function carry(from: Socket, to: Socket, stalled: () => boolean): void {
  from.setNoDelay(true);
  from.on("data", (chunk: Buffer) => {
    if (!to.write(chunk)) from.pause();
  });
  to.on("drain", () => {
    if (!stalled()) from.resume();
  });
  if (stalled()) from.pause();
}
