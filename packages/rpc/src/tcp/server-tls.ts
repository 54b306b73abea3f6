import { MillraceError } from "@millrace/core";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import type { ServerContext } from "./secure-context.ts";
import type { ServerTls } from "./security.ts";
import { nameOf } from "./store.ts";
import { chainReason, describeCertificate, plainReason, reasonOfHandshake, type TlsFailureReason } from "./tls-failure.ts"; // prettier-ignore

/** How long a client may take from its connection, or its turn, to the end of the handshake. */
export const handshakeTimeoutMs = 15_000;

/**
 * The server's half of a TLS handshake over a stream. Resolves when it is done and the client's
 * certificate is what `clientAuth` asks for; throws TLS_HANDSHAKE_FAILED, and the stream is gone.
 * The class is used by itself because a `tls.Server` does not tell which connection has failed.
 */
export async function secureServerStream(
  below: Duplex,
  { context, certificate }: ServerContext,
  clientAuth: ServerTls["clientAuth"],
  alpnProtocols: readonly string[] = [],
): Promise<TLSSocket> {
  const secured = new TLSSocket(below, {
    isServer: true,
    secureContext: context,
    requestCert: clientAuth !== "none",
    ...(alpnProtocols.length > 0 && { ALPNProtocols: [...alpnProtocols] }),
    // So that a client without a certificate is told by an alert. Others are judged below.
    rejectUnauthorized: clientAuth === "required",
  });
  // An end is only seen by who reads; before the handshake is over there is nothing else to read.
  const onReadable = (): void => {
    if (secured.readableLength === 0) secured.read();
  };
  try {
    await new Promise<void>((resolve, reject) => {
      const gone = (): void => reject(new Error("closed by the client"));
      secured.once("secure", resolve);
      secured.on("error", reject);
      secured.once("close", gone);
      secured.once("end", gone);
      secured.on("readable", onReadable);
    });
    secured.off("readable", onReadable);
  } catch (error) {
    secured.destroy();
    const reason = reasonOfHandshake(error);
    const own = `our certificate is ${nameOf(certificate)}`;
    throw tlsFailure(reason, handshakeText(reason, plainReason(error), own), error);
  }
  // As tls.Server does; HTTP/2 waits for it.
  (secured as unknown as { secureConnecting: boolean }).secureConnecting = false;
  const refused = clientAuth === "none" ? undefined : refusalOf(secured, clientAuth);
  if (refused !== undefined) {
    secured.destroy();
    throw tlsFailure("client_certificate", refused);
  }
  return secured;
}

function handshakeText(reason: TlsFailureReason, said: string, own: string): string {
  switch (reason) {
    case "client_certificate":
      return "a client has sent no certificate, and clientAuth = required; give it a keystore";
    case "alert":
      // Netty 3 gives a segment with several records to Java's TLS at once, which TLS 1.3 does not bear.
      if (said.endsWith("bad_record_mac")) {
        return `a client breaks off TLS: ${said}: Flume up to 1.9 cannot read TLS 1.3 as it is sent here; set exclude-protocols = TLSv1.3 here or in its sink`;
      }
      return `a client breaks off TLS: ${said}; ${own}: its issuer belongs into the client's truststore`;
    case "no_common_ground":
      return `a client and this side have no TLS version or cipher suite in common: ${said}; look at include- and exclude-protocols and -cipher-suites of both`;
    case "closed":
      return `a client went away during its TLS handshake; ${own}: it may not believe its issuer`;
    default:
      return `a client's TLS handshake cannot be read: ${said}`;
  }
}

/** Why the client's certificate will not do. */
function refusalOf(secured: TLSSocket, clientAuth: "wanted" | "required"): string | undefined {
  const problem = verifyProblem(secured);
  if (problem === undefined) return undefined;
  const certificate = secured.getPeerX509Certificate();
  if (certificate === undefined && clientAuth === "wanted") return undefined;
  return `a client's certificate, ${describeCertificate(certificate)}, is not accepted: ${chainReason(problem)}; put its issuer into the truststore, or give the client another`;
}

/** OpenSSL's verdict. Only a `tls.Server` passes it on by a public name; what cannot be asked is a no. */
function verifyProblem(secured: TLSSocket): string | undefined {
  const { _handle: handle } = secured as unknown as {
    readonly _handle?: { verifyError?(): (Error & { code?: string }) | null | undefined };
  };
  if (handle?.verifyError === undefined) return "THE_VERDICT_IS_NOT_KNOWN";
  const error = handle.verifyError();
  return error ? (error.code ?? error.message) : undefined;
}

export function tlsFailure(
  reason: TlsFailureReason,
  message: string,
  cause?: unknown,
): MillraceError {
  return new MillraceError("TLS_HANDSHAKE_FAILED", message, { cause, context: { reason } });
}
