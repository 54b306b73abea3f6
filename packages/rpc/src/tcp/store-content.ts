import { createPrivateKey, type KeyObject, type X509Certificate } from "node:crypto";

/** What stands in a store of any type, before it is judged. */
export interface StoreContent {
  readonly keys: readonly KeyObject[];
  readonly certificates: readonly X509Certificate[];
  /** Keys that were left closed for want of a password. */
  readonly lockedKeys?: number;
}

/** What is wrong with a store's content, said by those who read one type; the file is named later. */
export class StoreProblem extends Error {}

/** A private key, PEM or PKCS #8 in DER; throws StoreProblem that says what to correct. */
export function privateKeyOf(key: string | Buffer, passphrase?: string): KeyObject {
  try {
    return typeof key === "string"
      ? createPrivateKey({ key, format: "pem", passphrase: passphrase ?? "" })
      : createPrivateKey({ key, format: "der", type: "pkcs8" });
  } catch (error) {
    if (/bad decrypt|interrupted or cancelled|wrong password/i.test(String(error))) {
      throw new StoreProblem(
        passphrase === undefined
          ? "has an encrypted private key; give its password as keystore-password"
          : "has a private key that keystore-password does not open",
      );
    }
    throw new StoreProblem(`has a private key that cannot be read: ${(error as Error).message}`);
  }
}
