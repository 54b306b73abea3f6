import { systemErrorCode } from "@millrace/core";
import type { X509Certificate } from "node:crypto";
import { nameOf, oneLine } from "./store.ts";

/** Why TLS did not come about, for a metric's label. */
export const tlsFailureReasons = [
  "not_tls",
  "tls_unexpected",
  "client_certificate",
  "alert",
  "no_common_ground",
  "timeout",
  "closed",
  "malformed",
] as const;
export type TlsFailureReason = (typeof tlsFailureReasons)[number];

/** The alert that the peer sent, by its name in RFC 8446: "unknown_ca"; undefined for another error. */
export function alertOf(error: unknown): string | undefined {
  const [, name] = /_ALERT_([A-Z0-9_]+)$/.exec(systemErrorCode(error)) ?? [];
  return name?.toLowerCase();
}

const noCommonGround =
  /NO_SHARED_CIPHER|UNSUPPORTED_PROTOCOL|VERSION_TOO_LOW|NO_SUITABLE|PROTOCOL_VERSION|NO_SHARED_GROUP|NO_CIPHERS|INAPPROPRIATE_FALLBACK/;
const connectionGone = /^(ECONNRESET|EPIPE|ECONNABORTED|ETIMEDOUT|ERR_STREAM_PREMATURE_CLOSE)$/;

/** What kind of failure a server's handshake error is. */
export function reasonOfHandshake(error: unknown): TlsFailureReason {
  const code = systemErrorCode(error);
  if (code.includes("PEER_DID_NOT_RETURN_A_CERTIFICATE")) return "client_certificate";
  if (noCommonGround.test(code)) return "no_common_ground";
  if (alertOf(error) !== undefined) {
    return /handshake_failure|insufficient_security/.test(alertOf(error) ?? "")
      ? "no_common_ground"
      : "alert";
  }
  if (code === "" || connectionGone.test(code)) return "closed";
  return "malformed";
}

/** What OpenSSL, Node or the system says, without numbers and file names: "no shared cipher". */
export function plainReason(error: unknown): string {
  const code = systemErrorCode(error);
  const alert = alertOf(error);
  if (alert !== undefined) return `the other side answered with the alert ${alert}`;
  if (code.startsWith("ERR_SSL_")) return code.slice(8).toLowerCase().replaceAll("_", " ");
  return code === "" ? (error as Error).message : code;
}

/** A peer's certificate for a message: "CN=edge-1 (issued by CN=Example CA)". */
export function describeCertificate(certificate: X509Certificate | undefined): string {
  if (certificate === undefined) return "no certificate";
  const issuer = oneLine(certificate.issuer) || "nobody named";
  return `${nameOf(certificate)} (issued by ${issuer})`;
}

/** Why a chain is not believed, in words, by OpenSSL's code. */
export function chainReason(code: string): string {
  switch (code) {
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "UNABLE_TO_GET_ISSUER_CERT":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
      return "nobody in the truststore has signed it";
    case "CERT_HAS_EXPIRED":
      return "it has expired";
    case "CERT_NOT_YET_VALID":
      return "it is not valid yet";
    case "INVALID_PURPOSE":
      return "it is not made for this use";
    default:
      return code.toLowerCase().replaceAll("_", " ");
  }
}

/** The names and addresses a certificate is good for. */
export function hostsOf(certificate: X509Certificate | undefined): string {
  const names = certificate?.subjectAltName
    ?.split(", ")
    .map((name) => name.replace(/^(DNS|IP Address|URI|email):/, ""));
  return names?.join(", ") ?? "nothing that it names";
}
