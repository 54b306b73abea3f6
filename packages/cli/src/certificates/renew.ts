import { createPrivateKey, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import {
  type CertificateAndKey,
  createAuthority,
  issueCertificate,
  type Validity,
} from "./certificate.ts";

/** Where certificates are kept: a directory, or two secrets of Kubernetes. */
export interface CertificatePlace {
  /** For people: "/etc/millrace/tls", "secret logging/millrace-tls". */
  readonly name: string;
  /**
   * `foreign` when somebody else made what is there: then it is nobody's business but theirs. Throws when what
   * is there is neither ours nor whole.
   */
  read(): Promise<Kept | "foreign">;
  /** Stores an authority where there is none; what another one stored meanwhile wins and is returned. */
  writeAuthority(authority: CertificateAndKey): Promise<CertificateAndKey>;
  writeCertificate(certificate: CertificateAndKey, authority: string): Promise<void>;
}

export interface Kept {
  readonly authority?: CertificateAndKey;
  readonly certificate?: CertificateAndKey;
}

export interface Wanted extends Validity {
  /** Host names the certificate is good for, the first one its common name. */
  readonly names: readonly string[];
}

const dayMs = 86_400_000;
/** An authority outlives ten certificates: whoever trusts it needs no change when those are renewed. */
const authorityDaysMax = 36_500;

/**
 * Makes what is missing. An authority is made once and kept; the certificate is made again by the same one
 * when the last third of its time has begun, or when it is not good for a name that is wanted. Returns what
 * was done, a line. Throws, and writes nothing, when the authority has ended or cannot sign.
 */
export async function renewCertificates(place: CertificatePlace, wanted: Wanted): Promise<string> {
  const kept = await place.read();
  if (kept === "foreign") return `${place.name} is not ours, and stays as it is`;
  const { certificate: old } = kept;
  if (kept.authority !== undefined) assertUsable(place, kept.authority, wanted);
  if (old !== undefined && kept.authority !== undefined) {
    const why = whyRenew(old, kept.authority, wanted);
    const said = endSoon(kept.authority, wanted);
    if (why === undefined) return `${place.name} is good until ${endOf(old)}, and stays${said}`;
    await issue(place, kept.authority, wanted);
    return `${place.name}: a new certificate, as ${why}${said}`;
  }
  const authority =
    kept.authority ??
    (await place.writeAuthority(
      createAuthority(`Millrace authority of ${wanted.names[0] ?? ""}`.slice(0, 64), {
        nowMs: wanted.nowMs,
        days: Math.min(authorityDaysMax, Math.max(3650, wanted.days * 10)),
      }),
    ));
  await issue(place, authority, wanted);
  const what = kept.authority === undefined ? "an authority and a certificate" : "a certificate";
  return `${place.name}: ${what}, for ${wanted.days} days`;
}

/** A certificate ends with its authority at the latest: nobody believes it any longer. */
async function issue(
  place: CertificatePlace,
  authority: CertificateAndKey,
  wanted: Wanted,
): Promise<void> {
  const daysLeft = (endMsOf(authority) - wanted.nowMs) / dayMs;
  const issued = issueCertificate(authority, wanted.names, {
    nowMs: wanted.nowMs,
    days: Math.min(wanted.days, daysLeft),
  });
  const issuer = new X509Certificate(authority.certificate);
  const x509 = new X509Certificate(issued.certificate);
  if (!x509.checkIssued(issuer) || !x509.verify(issuer.publicKey)) {
    throw new Error(
      `${place.name}: the authority's certificate and key cannot sign: they are no pair, or make-certs did not make them`,
    );
  }
  await place.writeCertificate(issued, authority.certificate);
}

function assertUsable(
  place: CertificatePlace,
  authority: CertificateAndKey,
  { nowMs }: Wanted,
): void {
  let endMs: number;
  try {
    createPrivateKey(authority.key);
    endMs = endMsOf(authority);
  } catch (error) {
    throw new Error(`${place.name}: the authority cannot be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
  if (endMs > nowMs) return;
  throw new Error(
    `${place.name}: its authority has ended on ${endOf(authority)}; make another one elsewhere, and have every agent trust it`,
  );
}

/** A new authority has to reach everybody: that takes longer than a certificate. */
function endSoon(authority: CertificateAndKey, { days, nowMs }: Wanted): string {
  if (endMsOf(authority) - nowMs > days * dayMs) return "";
  return `; its authority ends on ${endOf(authority)}: have another one before`;
}

function whyRenew(
  { certificate, key }: CertificateAndKey,
  authority: CertificateAndKey,
  { names, nowMs }: Wanted,
): string | undefined {
  const x509 = readCertificate(certificate);
  if (x509 === undefined) return "the old one cannot be read";
  if (!isKeyOf(x509, key)) return "the old one's key is not its own";
  const begin = Date.parse(x509.validFrom);
  const end = Date.parse(x509.validTo);
  if (nowMs > end - (end - begin) / 3) {
    return `the old one ${end < nowMs ? "has ended" : `ends in ${Math.floor((end - nowMs) / dayMs)} days`}`;
  }
  if (!x509.checkIssued(new X509Certificate(authority.certificate))) {
    return "the old one is of another authority";
  }
  const missing = names.filter((name) => !isFor(x509, name));
  return missing.length === 0 ? undefined : `the old one is not good for ${missing.join(", ")}`;
}

/** Either question throws, or finds nothing, for a name of the other kind. */
function isFor(certificate: X509Certificate, name: string): boolean {
  const found = isIP(name) > 0 ? certificate.checkIP(name) : certificate.checkHost(name);
  return found !== undefined;
}

function readCertificate(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

/** A crash between the writing of the two leaves a new key beside an old certificate. */
function isKeyOf(certificate: X509Certificate, pem: string): boolean {
  try {
    return certificate.checkPrivateKey(createPrivateKey(pem));
  } catch {
    return false;
  }
}

function endMsOf({ certificate }: CertificateAndKey): number {
  return Date.parse(new X509Certificate(certificate).validTo);
}

function endOf(pair: CertificateAndKey): string {
  return new Date(endMsOf(pair)).toISOString().slice(0, 10);
}
