import { createHash, createHmac, randomBytes } from "node:crypto";
import { bigEndian16, bmp, context, integer, nothing, octets, oid, sequence, set } from "./der.ts"; // prettier-ignore
import type { TestCertificate } from "./test-authority.ts";

const data = oid("1.2.840.113549.1.7.1");
const keyBag = oid("1.2.840.113549.1.12.10.1.2");
const certificateBag = oid("1.2.840.113549.1.12.10.1.3");
const x509 = oid("1.2.840.113549.1.9.22.1");
const friendlyName = oid("1.2.840.113549.1.9.20");
const localKeyId = oid("1.2.840.113549.1.9.21");
const sha256 = oid("2.16.840.1.101.3.4.2.1");
/** What Java asks of a certificate that stands alone, to believe it. */
const trustedKeyUsage = oid("2.16.840.1.113894.746875.1.1");
const anyUsage = oid("2.5.29.37.0");
const iterations = 2048;

/** A PKCS12 keystore: the key under the password, its chain in the clear. */
export function encodePkcs12({ key, chain }: TestCertificate, password: string): Buffer {
  const id = attribute(localKeyId, octets(Buffer.from("1")));
  const encrypted = key.export({
    ...{ type: "pkcs8", format: "der", cipher: "aes-256-cbc", passphrase: password },
  } as const);
  const bags = [
    sequence(keyBag, context(0, encrypted), set(attribute(friendlyName, bmp("server")), id)),
    ...chain.map((der, at) => certificateBagOf(der, at === 0 ? [id] : [])),
  ];
  return whole(bags, password);
}

/** A PKCS12 truststore as keytool makes it: certificates alone. */
export function encodePkcs12Trust(certificates: readonly Buffer[], password: string): Buffer {
  const bags = certificates.map((der, at) =>
    certificateBagOf(der, [
      attribute(friendlyName, bmp(`ca${at}`)),
      attribute(trustedKeyUsage, anyUsage),
    ]),
  );
  return whole(bags, password);
}

function certificateBagOf(der: Buffer, attributes: readonly Buffer[]): Buffer {
  const certificate = sequence(x509, context(0, octets(der)));
  const own = attributes.length === 0 ? [] : [set(...attributes)];
  return sequence(certificateBag, context(0, certificate), ...own);
}

function attribute(id: Buffer, value: Buffer): Buffer {
  return sequence(id, set(value));
}

function whole(bags: readonly Buffer[], password: string): Buffer {
  const contents = sequence(data, context(0, octets(sequence(...bags))));
  const safe = sequence(contents);
  const salt = randomBytes(20);
  const digest = createHmac("sha256", macKey(password, salt)).update(safe).digest();
  const mac = sequence(
    sequence(sequence(sha256, nothing), octets(digest)),
    octets(salt),
    integer(iterations),
  );
  return sequence(integer(3), sequence(data, context(0, octets(safe))), mac);
}

/** RFC 7292, appendix B.2, for one block of SHA-256 and the purpose 3: a key for the MAC. */
function macKey(password: string, salt: Buffer): Buffer {
  const blockBytes = 64;
  const fill = (bytes: Buffer): Buffer =>
    Buffer.alloc(Math.ceil(bytes.length / blockBytes) * blockBytes, bytes);
  let digest: Buffer = Buffer.concat([
    Buffer.alloc(blockBytes, 3),
    fill(salt),
    fill(bigEndian16(`${password}\0`)),
  ]);
  for (let i = 0; i < iterations; i++) digest = createHash("sha256").update(digest).digest();
  return digest;
}
