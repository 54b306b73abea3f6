import type { Clock } from "@millrace/core";
import type { ServerHttp2Stream } from "node:http2";
import { encodeMessage, MessageDecoder } from "./frame.ts";
import { endCall, responseHeaders } from "./responses.ts";
import type { Health } from "./health.ts";
import { type Status, statusCode } from "./protocol.ts";

/** A service's name and no more. */
const requestBytesMax = 4096;

/** One call of Health: Check, which is answered, or Watch, which goes on until one side ends it. */
export class HealthStream {
  readonly busy = false;
  readonly #stream: ServerHttp2Stream;
  readonly #health: Health;
  readonly #watch: boolean;
  readonly #clock: Clock;
  readonly #decoder = new MessageDecoder(requestBytesMax);
  #asked = false;
  #forget: (() => void) | undefined;

  constructor(stream: ServerHttp2Stream, health: Health, watch: boolean, clock: Clock) {
    this.#stream = stream;
    this.#health = health;
    this.#watch = watch;
    this.#clock = clock;
    stream.respond(responseHeaders, { waitForTrailers: true });
    stream.on("data", (chunk: Buffer) => {
      if (this.#asked) return;
      this.#decoder.push(chunk);
      this.#take();
    });
    stream.on("end", () => {
      if (!this.#asked) this.#end({ code: statusCode.INVALID_ARGUMENT, message: "no request" });
    });
    stream.on("close", () => this.#forget?.());
  }

  drain(): void {
    this.#end({ code: statusCode.UNAVAILABLE, message: "the server is draining" });
  }

  sweep(): void {}

  #take(): void {
    try {
      const request = this.#decoder.next();
      if (request === undefined) return;
      this.#asked = true;
      if (this.#watch) {
        this.#forget = this.#health.watch(request, (response) => this.#write(response));
        return;
      }
      const response = this.#health.check(request);
      if (response !== undefined) this.#write(response);
      this.#end(
        response === undefined
          ? { code: statusCode.NOT_FOUND, message: "no such service here" }
          : { code: statusCode.OK, message: "" },
      );
    } catch (error) {
      this.#end({
        code: statusCode.INVALID_ARGUMENT,
        message: error instanceof Error ? error.message : String(error),
      });
    }
  }

  #write(response: Uint8Array): void {
    if (this.#stream.writable) this.#stream.write(encodeMessage(response));
  }

  #end(status: Status): void {
    if (!this.#stream.writable) return;
    this.#asked = true;
    endCall(this.#stream, status, this.#clock);
  }
}
