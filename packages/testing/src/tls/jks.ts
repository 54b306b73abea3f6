import { createHash, randomBytes } from "node:crypto";
import { bigEndian16, nothing, octets, oid, sequence } from "./der.ts";
import type { TestCertificate } from "./test-authority.ts";

/**
 *     feedfeed | version 2 | entries | entry ... | SHA-1 of password, "Mighty Aphrodite", all before
 *     entry of a key:         1 | alias | ms | length, encrypted key | certificates | certificate ...
 *     entry of a certificate: 2 | alias | ms | certificate
 *     certificate:            "X.509" | length, DER
 */
const head = [0xfeedfeed, 2];

/** A JKS keystore; store and key have one password, as Flume wants. */
export function encodeJks({ key, chain }: TestCertificate, password: string): Buffer {
  const der = key.export({ type: "pkcs8", format: "der" });
  const protectedKey = sequence(
    sequence(oid("1.3.6.1.4.1.42.2.17.1.1"), nothing),
    octets(protect(der, password)),
  );
  const entry = [number(1), ...named("server"), number(protectedKey.length), protectedKey];
  return signed([...entry, number(chain.length), ...chain.flatMap(certificateOf)], 1, password);
}

/** A JKS truststore. */
export function encodeJksTrust(certificates: readonly Buffer[], password: string): Buffer {
  const entries = certificates.flatMap((der, at) => [
    number(2),
    ...named(`ca${at}`),
    ...certificateOf(der),
  ]);
  return signed(entries, certificates.length, password);
}

function signed(entries: readonly Buffer[], count: number, password: string): Buffer {
  const body = Buffer.concat([...head.map(number), number(count), ...entries]);
  const digest = createHash("sha1")
    .update(bigEndian16(password))
    .update("Mighty Aphrodite")
    .update(body)
    .digest();
  return Buffer.concat([body, digest]);
}

/** Salt, the key under a stream of digests, and the key's own digest. */
function protect(key: Buffer, password: string): Buffer {
  const secret = bigEndian16(password);
  const sha1 = (bytes: Buffer): Buffer => createHash("sha1").update(secret).update(bytes).digest();
  const salt = randomBytes(20);
  const hidden = Buffer.from(key);
  let stream: Buffer = salt;
  for (let at = 0; at < hidden.length; at++) {
    if (at % 20 === 0) stream = sha1(stream);
    hidden[at] = (hidden[at] as number) ^ (stream[at % 20] as number);
  }
  return Buffer.concat([salt, hidden, sha1(key)]);
}

function named(alias: string): Buffer[] {
  return [text(alias), Buffer.alloc(8)];
}

function certificateOf(der: Buffer): Buffer[] {
  return [text("X.509"), number(der.length), der];
}

function text(value: string): Buffer {
  return Buffer.concat([Buffer.from([0, value.length]), Buffer.from(value)]);
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
