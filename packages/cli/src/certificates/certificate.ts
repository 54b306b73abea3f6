import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from "node:crypto";
import { isIPv4 } from "node:net";
import { bits, integer, octets, oid, sequence, set, tagged, time, utf8, yes } from "./der.ts";

/** A certificate and its private key, both PEM. */
export interface CertificateAndKey {
  readonly certificate: string;
  readonly key: string;
}

export interface Validity {
  readonly nowMs: number;
  readonly days: number;
}

interface Contents extends Validity {
  readonly subject: string;
  readonly issuer: string;
  readonly publicKey: KeyObject;
  readonly signer: KeyObject;
  readonly extensions: readonly Buffer[];
}

const dayMs = 86_400_000;
/** A clock that is behind by less than this finds a new certificate valid already. */
const clockSkewMs = 300_000;
const ecdsaWithSha256 = sequence(oid("1.2.840.10045.4.3.2"));

/** A new authority, with a key on the curve P-256. Its certificate signs others and is nothing else. */
export function createAuthority(commonName: string, validity: Validity): CertificateAndKey {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const isAuthority = sequence(yes, integer(Buffer.from([0])));
  const certificate = signCertificate({
    ...validity,
    subject: commonName,
    issuer: commonName,
    publicKey,
    signer: privateKey,
    // Signs certificates and revocations.
    extensions: [
      extension("2.5.29.19", isAuthority, true),
      extension("2.5.29.15", bits(Buffer.from([0b0000_0110]), 1), true),
      keyIdentifier(publicKey),
    ],
  });
  return { certificate, key: privatePem(privateKey) };
}

/**
 * A new key with a certificate for these host names, signed by the authority. Senders and receivers
 * show the same one, so that it is good for both ends of a connection.
 */
export function issueCertificate(
  authority: CertificateAndKey,
  names: readonly string[],
  validity: Validity,
): CertificateAndKey {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const signer = createPrivateKey(authority.key);
  const usages = sequence(oid("1.3.6.1.5.5.7.3.1"), oid("1.3.6.1.5.5.7.3.2"));
  const certificate = signCertificate({
    ...validity,
    subject: names[0] ?? "",
    issuer: commonNameOf(authority.certificate),
    publicKey,
    signer,
    extensions: [
      extension("2.5.29.19", sequence(), true),
      extension("2.5.29.15", bits(Buffer.from([0b1000_0000]), 7), true),
      extension("2.5.29.37", usages),
      extension("2.5.29.17", sequence(...names.map(alternativeName))),
      keyIdentifier(publicKey),
      extension("2.5.29.35", sequence(tagged(0x80, keyHash(createPublicKey(signer))))),
    ],
  });
  return { certificate, key: privatePem(privateKey) };
}

/** Version 3, a serial number of chance, and the extensions. */
function signCertificate(contents: Contents): string {
  const { subject, issuer, publicKey, signer, extensions, nowMs, days } = contents;
  const serial = randomBytes(16);
  // Positive and without leading zeros, in any case.
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  const signed = sequence(
    tagged(0xa0, integer(Buffer.from([2]))),
    integer(serial),
    ecdsaWithSha256,
    nameOf(issuer),
    sequence(time(nowMs - clockSkewMs), time(nowMs + days * dayMs)),
    nameOf(subject),
    publicKey.export({ type: "spki", format: "der" }),
    tagged(0xa3, sequence(...extensions)),
  );
  const der = sequence(signed, ecdsaWithSha256, bits(sign("sha256", signed, signer)));
  const lines = der.toString("base64").replace(/.{1,64}/g, "$&\n");
  return `-----BEGIN CERTIFICATE-----\n${lines}-----END CERTIFICATE-----\n`;
}

/** X.509 allows 64 characters in a common name; nobody who verifies looks at it. */
function nameOf(commonName: string): Buffer {
  return sequence(set(sequence(oid("2.5.4.3"), utf8(commonName.slice(0, 64)))));
}

function commonNameOf(certificate: string): string {
  const { subject } = new X509Certificate(certificate);
  return /^CN=(.*)$/m.exec(subject)?.[1] ?? "";
}

function extension(id: string, value: Buffer, critical = false): Buffer {
  return sequence(oid(id), ...(critical ? [yes] : []), octets(value));
}

function keyIdentifier(key: KeyObject): Buffer {
  return extension("2.5.29.14", octets(keyHash(key)));
}

/** RFC 7093: the first 160 bits of the hash of what stands for the key. */
function keyHash(key: KeyObject): Buffer {
  const der = key.export({ type: "spki", format: "der" });
  return createHash("sha256").update(der).digest().subarray(0, 20);
}

function alternativeName(name: string): Buffer {
  if (isIPv4(name)) return tagged(0x87, Buffer.from(name.split(".").map(Number)));
  return tagged(0x82, Buffer.from(name));
}

function privatePem(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }) as string;
}
