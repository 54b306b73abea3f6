import { systemClock } from "@millrace/core";
import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { isIP } from "node:net";
import { bits, context, integer, octets, oid, sequence, set, tagged, time, utf8, yes } from "./der.ts"; // prettier-ignore

export interface CertificateRequest {
  readonly commonName: string;
  /** Names and addresses it is good for; those of this machine when not given. */
  readonly hosts?: readonly string[];
  /** Days from now, both may be negative: an hour ago to ten days ahead when not given. */
  readonly validFromDays?: number;
  readonly validToDays?: number;
  readonly keyType?: "ec" | "rsa";
}

/** A key with its certificate, and the chain up to the authority. */
export interface TestCertificate {
  readonly keyPem: string;
  readonly certificatePem: string;
  readonly chainPem: string;
  readonly key: KeyObject;
  /** DER, the own one first. */
  readonly chain: readonly Buffer[];
}

/** Who signs certificates. Two of the same name are still two. */
export interface TestAuthority {
  readonly certificatePem: string;
  readonly certificate: Buffer;
  issue(request: CertificateRequest): TestCertificate;
}

const dayMs = 86_400_000;
const ecdsaWithSha256 = sequence(oid("1.2.840.10045.4.3.2"));
const ownHosts = ["localhost", "127.0.0.1", "::1"];
let serial = 1;

/** Makes an authority of its own, with keys on a curve: a millisecond, where RSA takes a tenth of a second. */
export function createTestAuthority(commonName = "Millrace test authority"): TestAuthority {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const name = nameOf(commonName);
  const basic = extension("2.5.29.19", sequence(yes), true);
  const certificate = certificateOf({
    ...{ subject: name, issuer: name, key: privateKey, signer: privateKey },
    ...{ fromDays: -365, toDays: 365, extensions: [basic] },
  });
  return {
    certificate,
    certificatePem: pemOf("CERTIFICATE", certificate),
    issue(request) {
      const key =
        request.keyType === "rsa"
          ? generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey
          : generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
      const own = certificateOf({
        ...{ subject: nameOf(request.commonName), issuer: name, key, signer: privateKey },
        fromDays: request.validFromDays ?? -1 / 24,
        toDays: request.validToDays ?? 10,
        extensions: [extension("2.5.29.17", alternativeNames(request.hosts ?? ownHosts))],
      });
      const chain = [own, certificate];
      return {
        key,
        chain,
        keyPem: key.export({ type: "pkcs8", format: "pem" }) as string,
        certificatePem: pemOf("CERTIFICATE", own),
        chainPem: chain.map((der) => pemOf("CERTIFICATE", der)).join(""),
      };
    },
  };
}

interface Contents {
  readonly subject: Buffer;
  readonly issuer: Buffer;
  readonly key: KeyObject;
  readonly signer: KeyObject;
  readonly fromDays: number;
  readonly toDays: number;
  readonly extensions: readonly Buffer[];
}

function certificateOf(contents: Contents): Buffer {
  const { subject, issuer, key, signer, fromDays, toDays, extensions } = contents;
  const nowMs = systemClock.now();
  const version3 = context(0, integer(2));
  const signed = sequence(
    version3,
    integer(serial++),
    ecdsaWithSha256,
    issuer,
    sequence(time(nowMs + fromDays * dayMs), time(nowMs + toDays * dayMs)),
    subject,
    createPublicKey(key).export({ type: "spki", format: "der" }),
    context(3, sequence(...extensions)),
  );
  return sequence(signed, ecdsaWithSha256, bits(sign("sha256", signed, signer)));
}

function nameOf(commonName: string): Buffer {
  return sequence(set(sequence(oid("2.5.4.3"), utf8(commonName))));
}

function extension(id: string, value: Buffer, critical = false): Buffer {
  return sequence(oid(id), ...(critical ? [yes] : []), octets(value));
}

function alternativeNames(hosts: readonly string[]): Buffer {
  return sequence(
    ...hosts.map((host) => {
      if (isIP(host) === 4) return tagged(0x87, Buffer.from(host.split(".").map(Number)));
      if (host === "::1") return tagged(0x87, Buffer.from([...new Array<number>(15).fill(0), 1]));
      return tagged(0x82, Buffer.from(host));
    }),
  );
}

export function pemOf(label: string, der: Buffer): string {
  const lines = der.toString("base64").replace(/.{1,64}/g, "$&\n");
  return `-----BEGIN ${label}-----\n${lines}-----END ${label}-----\n`;
}
