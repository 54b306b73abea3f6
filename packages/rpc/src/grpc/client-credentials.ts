import { CallCredentials, ChannelCredentials } from "@grpc/grpc-js";
import type { Socket } from "node:net";

type SecureConnector = ReturnType<ChannelCredentials["_createSecureConnector"]>;

/** Makes a connected socket one that HTTP/2 is spoken over: itself, or TLS around it. */
export type Secure = (socket: Socket) => Promise<Socket>;

/**
 * The place where the library hands over each TCP connection it has made: TLS is put around it here, as on
 * the other wires, and it is kept, because closing a channel alone leaves a connection whose peer is
 * silent open until the kernel gives up.
 */
export class TransportCredentials extends ChannelCredentials {
  readonly #secure: Secure | undefined;
  readonly #sockets = new Set<Socket>();

  constructor(secure: Secure | undefined) {
    super();
    this.#secure = secure;
  }

  override _isSecure(): boolean {
    return this.#secure !== undefined;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(): SecureConnector {
    return {
      connect: async (socket) => {
        this.#sockets.add(socket);
        socket.once("close", () => this.#sockets.delete(socket));
        const secure = this.#secure;
        return secure === undefined
          ? { socket, secure: false }
          : { socket: await secure(socket), secure: true };
      },
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => CallCredentials.createEmpty(),
      destroy: () => {},
    };
  }

  /** Cuts whatever is connected. */
  destroy(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
