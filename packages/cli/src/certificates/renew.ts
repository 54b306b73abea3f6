import { X509Certificate } from "node:crypto";
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
  /** `foreign` when somebody else made what is there: then it is nobody's business but theirs. */
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
 * was done, a line.
 */
export async function renewCertificates(place: CertificatePlace, wanted: Wanted): Promise<string> {
  const kept = await place.read();
  if (kept === "foreign") return `${place.name} is not ours, and stays as it is`;
  const { certificate: old } = kept;
  if (old !== undefined && kept.authority !== undefined) {
    const why = whyRenew(old, kept.authority, wanted);
    if (why === undefined) return `${place.name} is good until ${endOf(old)}, and stays`;
    await issue(place, kept.authority, wanted);
    return `${place.name}: a new certificate, as ${why}`;
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

async function issue(
  place: CertificatePlace,
  authority: CertificateAndKey,
  wanted: Wanted,
): Promise<void> {
  const issued = issueCertificate(authority, wanted.names, wanted);
  await place.writeCertificate(issued, authority.certificate);
}

function whyRenew(
  { certificate }: CertificateAndKey,
  authority: CertificateAndKey,
  { names, nowMs }: Wanted,
): string | undefined {
  const x509 = new X509Certificate(certificate);
  const begin = Date.parse(x509.validFrom);
  const end = Date.parse(x509.validTo);
  if (nowMs > end - (end - begin) / 3) {
    return `the old one ends ${end < nowMs ? "and has ended" : `in ${Math.floor((end - nowMs) / dayMs)} days`}`;
  }
  if (!x509.checkIssued(new X509Certificate(authority.certificate))) {
    return "the old one is of another authority";
  }
  const missing = names.filter((name) => x509.checkHost(name) === undefined && x509.checkIP(name) === undefined); // prettier-ignore
  return missing.length === 0 ? undefined : `the old one is not good for ${missing.join(", ")}`;
}

function endOf({ certificate }: CertificateAndKey): string {
  return new Date(new X509Certificate(certificate).validTo).toISOString().slice(0, 10);
}
