import { MillraceError } from "@millrace/core";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createDeflateStream, serverDeflateLevel } from "./deflate-stream.ts";
import { firstBytes } from "./first-bytes.ts";
import type { HandshakeAdmission } from "./handshake-admission.ts";
import type { Reloading } from "./reloading.ts";
import type { ServerContext } from "./secure-context.ts";
import type { ServerTransport } from "./security.ts";
import { secureServerStream, tlsFailure } from "./server-tls.ts";

/**
 * What lies between a wire and its connection, told by the first byte of what comes:
 *
 *     16   a TLS record
 *     78   a zlib stream
 *
 * With both on, Flume up to 1.9 has TLS outside and zlib inside; since 1.10 it is the other way
 * round. Which of the two a client speaks is seen, so both are served. No message of any wire begins
 * with one of these bytes: its length or number would be hundreds of millions.
 */
type Layer = "tls" | "deflate";

export interface ServerLayers {
  readonly transport: ServerTransport;
  /** There when the transport has TLS. */
  readonly context?: Reloading<ServerContext>;
  readonly admission: HandshakeAdmission;
  /** What to agree on with clients that name protocols (ALPN). */
  readonly alpnProtocols?: readonly string[];
}

/** What the opening of a connection waits for. */
export type OpeningStage = "first byte" | "turn" | "handshake" | "inside";

/**
 * Takes off the layers of a client's connection; undefined when it ends before it says anything.
 * Throws TLS_HANDSHAKE_FAILED, or FRAME_MALFORMED for compression that does not match.
 */
export async function openServerLayers(
  raw: Socket,
  { transport, context, admission, alpnProtocols }: ServerLayers,
  enter: (stage: OpeningStage) => void,
): Promise<Duplex | undefined> {
  const { tls, compression } = transport;
  const left = new Set<Layer>();
  if (tls !== undefined) left.add("tls");
  if (compression === "deflate") left.add("deflate");
  const found: Layer[] = [];
  let stream: Duplex = raw;
  for (;;) {
    // Behind a zlib header something must follow; behind a handshake a client may keep silent.
    enter(found.at(-1) === "deflate" ? "inside" : "first byte");
    const head = await firstBytes(stream);
    if (head === undefined) return undefined;
    const layer = layerOf(head);
    if (layer === undefined) {
      if (left.size > 0) throw mismatch(transport, found, undefined, head);
      return stream;
    }
    if (!left.delete(layer)) throw mismatch(transport, found, layer, head);
    found.push(layer);
    if (layer === "deflate") {
      stream = createDeflateStream(stream, serverDeflateLevel);
      // It may break while a handshake waits for its turn and nobody listens.
      stream.on("error", () => {});
      continue;
    }
    enter("turn");
    const leave = await admission.enter();
    try {
      if (stream.destroyed || context === undefined || tls === undefined) return undefined;
      const current = await context.current();
      if (stream.errored instanceof MillraceError) throw stream.errored;
      if (stream.destroyed) return undefined;
      enter("handshake");
      stream = await secureServerStream(stream, current, tls.clientAuth, alpnProtocols);
    } finally {
      leave();
    }
  }
}

function layerOf([first]: Buffer): Layer | undefined {
  if (first === 0x16) return "tls";
  return first === 0x78 ? "deflate" : undefined;
}

/** Says what both sides seem to be set to. */
function mismatch(
  { tls, compression }: ServerTransport,
  found: readonly Layer[],
  more: Layer | undefined,
  head: Buffer,
): MillraceError {
  const seen = more === undefined ? found : [...found, more];
  const whole = more === undefined;
  const peer: string[] = [];
  if (whole || seen.includes("tls")) peer.push(`ssl = ${seen.includes("tls")}`);
  if (whole || seen.includes("deflate")) {
    peer.push(`compression-type = ${seen.includes("deflate") ? "deflate" : "none"}`);
  }
  const own = `ssl = ${tls !== undefined}, compression-type = ${compression}`;
  const began = `what it sent begins with ${head.subarray(0, 4).toString("hex")}`;
  const text = `a client seems to have ${peer.join(", ")} where this side has ${own} (${began}); set both alike`;
  const tlsMissing = tls !== undefined && !seen.includes("tls");
  if (tlsMissing && whole) return tlsFailure("not_tls", text);
  if (more === "tls") return tlsFailure("tls_unexpected", text);
  return new MillraceError("FRAME_MALFORMED", text);
}
