import { MillraceError } from "@millrace/core";
import { isIP } from "node:net";
import type { Duplex } from "node:stream";
import { connect, type SecureContext, type TLSSocket } from "node:tls";
import type { ClientTls } from "./security.ts";
import { alertOf, chainReason, describeCertificate, hostsOf, plainReason, reasonOfHandshake } from "./tls-failure.ts"; // prettier-ignore

/**
 * The client's half of a TLS handshake over a stream. Resolves when the server's certificate has
 * been judged; throws RPC_TLS_FAILED that says which certificate it was, why, and what to set.
 */
export async function secureClientStream(
  below: Duplex,
  host: string,
  where: string,
  tls: ClientTls,
  secureContext: SecureContext,
  alpnProtocols: readonly string[] = [],
): Promise<TLSSocket> {
  const name = tls.serverName ?? host;
  const secured = connect({
    socket: below,
    secureContext,
    host: name,
    ...(isIP(name) === 0 ? { servername: name } : {}),
    ...(alpnProtocols.length > 0 && { ALPNProtocols: [...alpnProtocols] }),
    // Judged below, where the certificate can still be named.
    rejectUnauthorized: false,
    ...(tls.verifyHostName ? {} : { checkServerIdentity: () => undefined }),
  });
  try {
    await new Promise<void>((resolve, reject) => {
      secured.once("secureConnect", resolve);
      secured.on("error", reject);
      secured.once("close", () => reject(new Error("closed by the server")));
    });
  } catch (error) {
    secured.destroy();
    throw tlsFailed(where, handshakeText(error, tls), error);
  }
  if (secured.authorized || tls.trustAll) return secured;
  const text = certificateText(secured, name, tls);
  secured.destroy();
  throw tlsFailed(where, text);
}

function handshakeText(error: unknown, { keystore }: ClientTls): string {
  const said = plainReason(error);
  const own =
    keystore === undefined
      ? "name a keystore, if it asks for a certificate"
      : `it may not accept the certificate in ${keystore.path}`;
  switch (reasonOfHandshake(error)) {
    case "alert":
      return `${said}: ${own}`;
    case "no_common_ground":
      return `no TLS version or cipher suite in common: ${said}; look at include- and exclude-protocols and -cipher-suites of both`;
    case "closed":
      return `it hung up during the handshake (${said}): it may have ssl = false, another compression-type, or the other tlsLayering`;
    default:
      return `it does not speak TLS here (${said}): set ssl = false, or ssl = true there; with deflate look at tlsLayering`;
  }
}

/** Which certificate is not believed, why, and what would make it so. */
function certificateText(secured: TLSSocket, name: string, { truststore }: ClientTls): string {
  const code = String(secured.authorizationError);
  // Asked once: a second time Node has none to give.
  const certificate = secured.getPeerX509Certificate();
  const which = `its certificate, ${describeCertificate(certificate)},`;
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    const names = hostsOf(certificate);
    return `${which} is not for ${name} but for ${names}; set serverName to one of these, or verifyHostname = false as Flume has it`;
  }
  const where = truststore === undefined ? "a truststore (none is named)" : truststore.path;
  return `${which} is not accepted: ${chainReason(code)}; put its issuer into ${where}, or give the server another`;
}

export function tlsFailed(where: string, why: string, cause?: unknown): MillraceError {
  return new MillraceError("RPC_TLS_FAILED", `no TLS with ${where}: ${why}`, { cause });
}

/** Why an open connection ended, by its stream's last error; TLS 1.3 refuses certificates that late. */
export function lateReason(error: Error): string {
  const alert = alertOf(error);
  if (alert === undefined) return plainReason(error);
  const keystore = alert.includes("certificate") || alert === "unknown_ca";
  return `${plainReason(error)}${keystore ? ": look at this side's keystore" : ""}`;
}
