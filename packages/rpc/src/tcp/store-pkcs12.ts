import { X509Certificate } from "node:crypto";
import { privateKeyOf, type StoreContent, StoreProblem } from "./store-content.ts";

/** PKCS12 of keytool and of openssl: keys with their chains, and certificates that stand alone. */
export async function readPkcs12(
  bytes: Buffer,
  password: string | undefined,
): Promise<StoreContent> {
  const { default: forge } = await import("node-forge");
  const { asn1, pkcs12, pki } = forge;
  const derOf = (value: Parameters<typeof asn1.toDer>[0]): Buffer =>
    Buffer.from(asn1.toDer(value).getBytes(), "latin1");

  let bags;
  try {
    const whole = asn1.fromDer(bytes.toString("latin1"));
    bags = pkcs12
      .pkcs12FromAsn1(whole, false, password ?? "")
      .safeContents.flatMap(({ safeBags }) => safeBags);
  } catch (error) {
    const { message } = error as Error;
    if (/invalid password|wrong password|failed to decrypt/i.test(message)) {
      throw new StoreProblem(
        password === undefined
          ? "is PKCS12, which cannot be read without its password"
          : "is not opened by its password",
      );
    }
    throw new StoreProblem(`is no whole PKCS12 file: ${message}`);
  }
  const keys: StoreContent["keys"][number][] = [];
  const certificates: X509Certificate[] = [];
  for (const bag of bags) {
    switch (bag.type) {
      case pki.oids["pkcs8ShroudedKeyBag"]:
      case pki.oids["keyBag"]: {
        // The library knows RSA keys; of others it gives what it decrypted.
        const info = bag.key ? pki.wrapRsaPrivateKey(pki.privateKeyToAsn1(bag.key)) : bag.asn1;
        if (info) keys.push(privateKeyOf(derOf(info)));
        break;
      }
      case pki.oids["certBag"]: {
        const certificate = bag.cert ? pki.certificateToAsn1(bag.cert) : bag.asn1;
        if (certificate) certificates.push(new X509Certificate(derOf(certificate)));
        break;
      }
    }
  }
  return { keys, certificates };
}
