import { type KeyObject, X509Certificate } from "node:crypto";
import { privateKeyOf, type StoreContent, StoreProblem } from "./store-content.ts";

/**
 * Java's own format. As in Java a truststore may be read without its password, which then proves
 * nothing of its integrity; a key may not. Flume has one password for store and key.
 */
export async function readJks(bytes: Buffer, password: string | undefined): Promise<StoreContent> {
  const { decrypt, parseJks } = await import("jks-js");
  const entries = explained(
    () => parseJks(bytes, password ?? ""),
    (reason) =>
      /password verification/i.test(reason)
        ? "is not opened by its password, or is damaged"
        : `is a damaged JKS file: ${reason}`,
  );
  const certificates: X509Certificate[] = [];
  const keys: KeyObject[] = [];
  let lockedKeys = 0;
  for (const entry of entries) {
    if ("cert" in entry) {
      certificates.push(new X509Certificate(entry.cert.value));
      continue;
    }
    certificates.push(...entry.chain.map(({ value }) => new X509Certificate(value)));
    if (password === undefined) {
      lockedKeys++;
      continue;
    }
    const pem = explained(
      () => decrypt(entry.protectedPrivateKey, password),
      () =>
        "has a private key with another password than the store's; Flume knows one for both: keytool -keypasswd makes them the same",
    );
    keys.push(privateKeyOf(pem));
  }
  return { keys, certificates, lockedKeys };
}

function explained<T>(read: () => T, explain: (reason: string) => string): T {
  try {
    return read();
  } catch (error) {
    throw new StoreProblem(explain((error as Error).message));
  }
}
