import { CallCredentials, ChannelCredentials } from "@grpc/grpc-js";
import { type MillraceError, toMillraceError } from "@millrace/core";
import type { Socket } from "node:net";

type SecureConnector = ReturnType<ChannelCredentials["_createSecureConnector"]>;

/** Puts TLS around a connected socket. Throws RPC_TLS_FAILED. */
export type Secure = (socket: Socket) => Promise<Socket>;

/**
 * The place where the library hands over each TCP connection it has made: TLS is put around it here, as
 * on the other wires, and it is kept, because closing a channel alone leaves a connection whose peer
 * is silent open until the kernel gives up.
 */
export class TransportCredentials extends ChannelCredentials {
  readonly #secure: Secure | undefined;
  readonly #sockets = new Set<Socket>();
  #isDestroyed = false;
  #problem: MillraceError | undefined;
  #lastError: Error | undefined;

  constructor(secure: Secure | undefined) {
    super();
    this.#secure = secure;
  }

  /** Why TLS did not come about, last. */
  get problem(): MillraceError | undefined {
    return this.#problem;
  }

  /** What a connection that was made broke with, last: TLS 1.3 refuses certificates that late. */
  get lastError(): Error | undefined {
    return this.#lastError;
  }

  override _isSecure(): boolean {
    return this.#secure !== undefined;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(): SecureConnector {
    return {
      connect: async (socket) => ({
        socket: await this.#take(socket),
        secure: this.#secure !== undefined,
      }),
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => CallCredentials.createEmpty(),
      destroy: () => {},
    };
  }

  /** Cuts whatever is connected, and what the library has still under way when it is. */
  destroy(): void {
    this.#isDestroyed = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  async #take(socket: Socket): Promise<Socket> {
    // The library destroys the socket.
    if (this.#isDestroyed) throw new Error("the client was closed while it connected");
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    const secure = this.#secure;
    const used =
      secure === undefined
        ? socket
        : await secure(socket).catch((thrown: unknown) => {
            this.#problem = toMillraceError(thrown, "RPC_TLS_FAILED");
            throw this.#problem;
          });
    used.on("error", (error) => (this.#lastError = error));
    return used;
  }
}
