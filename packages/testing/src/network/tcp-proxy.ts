import { resetConnection } from "@millrace/core";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/**
 * What the proxy does with bytes and connections from now on.
 *
 * - `pass`: forwards both ways.
 * - `stall`: connections stay open and are accepted, but nothing moves either way, not even to the
 *   target's accept queue, until the mode changes; then all that waited goes on.
 * - `swallow-replies`: what the client sends arrives, what the server answers is dropped. A
 *   connection that lost bytes this way is reset when the mode changes: no TCP peer goes on with a
 *   hole in its stream.
 * - `refuse`: new connections are refused, as by a port that nobody listens on; those that are
 *   open go on.
 */
export type ProxyMode = "pass" | "stall" | "swallow-replies" | "refuse";

/** Counted since the proxy was made. Bytes count when they were handed on. */
export interface ProxyCounters {
  connections: number;
  connectionsCut: number;
  bytesToServer: number;
  bytesToClient: number;
  bytesSwallowed: number;
}

/** A cable between a client and a server on this machine that a test can damage. */
export interface TcpProxy {
  /** Where clients connect, on 127.0.0.1. It stays the same through `refuse`. */
  readonly port: number;
  readonly mode: ProxyMode;
  readonly counters: Readonly<ProxyCounters>;
  readonly openConnections: number;
  /** Resolves when the mode holds: the port listens, or does not any more. */
  setMode(mode: ProxyMode): Promise<void>;
  /** Hands every chunk on this much later; 0 ends it for chunks that come from now on. */
  setDelay(ms: number): void;
  /** Points to another target; connections that are open keep theirs. */
  setTarget(target: ProxyTarget): void;
  /** Resets every open connection at both ends; new ones are accepted. Says how many there were. */
  cut(): number;
  /** Sends the end of the stream to one end of every open connection; the other way stays open. */
  halfClose(toward: "client" | "server"): void;
  /** Resets what is open and listens no more. Idempotent. */
  close(): Promise<void>;
}

export interface ProxyTarget {
  readonly host: string;
  readonly port: number;
}

interface Cable {
  readonly client: Socket;
  /** Made when bytes may move: a stalled proxy does not connect. */
  server: Socket | undefined;
  swallowed: boolean;
}

export async function createTcpProxy(firstTarget: ProxyTarget): Promise<TcpProxy> {
  const cables = new Set<Cable>();
  const counters: ProxyCounters = {
    connections: 0,
    connectionsCut: 0,
    bytesToServer: 0,
    bytesToClient: 0,
    bytesSwallowed: 0,
  };
  let mode: ProxyMode = "pass";
  let delayMs = 0;
  let target = firstTarget;
  let closed = false;

  const listener = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
    counters.connections++;
    const cable: Cable = { client, server: undefined, swallowed: false };
    cables.add(cable);
    watch(cable, client);
    if (mode !== "stall") connectCable(cable);
  });

  function connectCable(cable: Cable): void {
    const server = connect({ ...target, allowHalfOpen: true });
    cable.server = server;
    watch(cable, server);
    server.setNoDelay(true);
    cable.client.setNoDelay(true);
    forward(cable.client, server, (bytes) => (counters.bytesToServer += bytes));
    forward(server, cable.client, (bytes) => (counters.bytesToClient += bytes), cable);
  }

  /** Moves bytes one way; `swallower` is the cable when this is the way of the replies. */
  function forward(
    from: Socket,
    to: Socket,
    count: (bytes: number) => void,
    swallower?: Cable,
  ): void {
    const later = createDelayLine(() => delayMs);
    const handOn = (chunk: Buffer): void => {
      if (to.destroyed || to.writableEnded) return;
      count(chunk.length);
      if (!to.write(chunk)) from.pause();
    };
    from.on("data", (chunk: Buffer) => {
      if (swallower !== undefined && mode === "swallow-replies") {
        swallower.swallowed = true;
        counters.bytesSwallowed += chunk.length;
      } else later(() => handOn(chunk));
    });
    from.on("end", () => later(() => to.end()));
    to.on("drain", () => {
      if (mode !== "stall") from.resume();
    });
    if (mode === "stall") from.pause();
    else from.resume();
  }

  /** A fault at one end resets the other; an end in order has been handed on already. */
  function watch(cable: Cable, socket: Socket): void {
    socket.on("error", () => drop(cable));
    socket.on("close", () => {
      if (cable.client.closed && cable.server?.closed !== false) cables.delete(cable);
    });
  }

  function drop(cable: Cable): void {
    if (!cables.delete(cable)) return;
    resetConnection(cable.client);
    if (cable.server !== undefined) resetConnection(cable.server);
  }

  async function listen(port: number): Promise<void> {
    if (listener.listening) return;
    listener.listen(port, "127.0.0.1");
    await once(listener, "listening");
  }

  await listen(0);
  const { port } = listener.address() as AddressInfo;

  return {
    port,
    counters,
    get mode() {
      return mode;
    },
    get openConnections() {
      return cables.size;
    },
    async setMode(next) {
      mode = next;
      for (const cable of cables) {
        if (next === "stall") {
          cable.client.pause();
          cable.server?.pause();
        } else if (cable.swallowed && next !== "swallow-replies") {
          counters.connectionsCut++;
          drop(cable);
        } else if (cable.server === undefined) connectCable(cable);
        else {
          cable.client.resume();
          cable.server.resume();
        }
      }
      if (closed) return;
      if (next === "refuse") listener.close();
      else await listen(port);
    },
    setDelay(ms) {
      delayMs = ms;
    },
    setTarget(next) {
      target = next;
    },
    cut() {
      const count = cables.size;
      counters.connectionsCut += count;
      for (const cable of [...cables]) drop(cable);
      return count;
    },
    halfClose(toward) {
      for (const { client, server } of cables) (toward === "client" ? client : server)?.end();
    },
    async close() {
      if (closed) return;
      closed = true;
      for (const cable of [...cables]) drop(cable);
      if (!listener.listening) return;
      await new Promise<void>((resolve) => listener.close(() => resolve()));
    },
  };
}

/** Runs what it is given after the delay of that moment, never overtaking what came before. */
function createDelayLine(delayMs: () => number): (act: () => void) => void {
  let waiting = 0;
  let line = Promise.resolve();
  return (act) => {
    if (waiting === 0 && delayMs() === 0) return act();
    waiting++;
    const due = performance.now() + delayMs();
    line = line.then(async () => {
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
      waiting--;
      act();
    });
  };
}
