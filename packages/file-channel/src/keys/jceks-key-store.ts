/**
 * A key store of type JCEKS (com.sun.crypto.provider.JceKeyStore), as `keytool` writes it:
 *
 *   store   = cececece, u32 version (1 or 2), u32 count, entry{count}, SHA-1 digest
 *   entry   = u32 1, name, u32 length, bytes, u32 count, certificate{count}       a private key
 *           | u32 2, name, certificate
 *           | u32 3, name, serialized SealedObjectForKeyProtector                  a secret key
 *   name    = utf alias in lower case, u64 milliseconds
 *   certificate = utf type (version 2), u32 length, bytes
 *   digest  = SHA-1 of the password in UTF-16BE, "Mighty Aphrodite", and all before it
 *
 * A secret key is a serialized SecretKeySpec, encrypted with PBEWithMD5AndTripleDES under a password
 * of its own, often the store's:
 *
 *   half(i) = MD5 over and over of (the salt's half i, then the digest before) with the password; i = 0, 1;
 *             of two halves that are the same the first one is turned round
 *   key, IV = the first 24 and the last 8 bytes of half(0) half(1)
 */
import { roundsPerTurn, yieldToEventLoop } from "@millrace/core";
import { createDecipheriv, createHash, hash } from "node:crypto";
import { JavaStreamError, type JavaObject, readJavaObject } from "./jceks-java-object.ts";

export interface JceksKeyStore {
  /** Names of its secret keys. */
  readonly aliases: readonly string[];
  /**
   * The key of that name; upper and lower case are the same. Undefined when there is none. Throws a
   * JceksError when the password is not the key's, or it is no such key.
   */
  secretKey(alias: string, password: string): Promise<JceksSecretKey | undefined>;
}

export interface JceksSecretKey {
  /** "AES". */
  readonly algorithm: string;
  readonly key: Buffer;
}

/** Why a store or a key cannot be used, as the end of "the key store ...". */
export class JceksError extends Error {}

/** The largest count that Java accepts (jdk.crypto.KeyProtector.iterationCount). */
const iterationsMax = 5_000_000;
const entriesMax = 100_000;
const digestBytes = 20;
const hashesPerTurn = roundsPerTurn * 256;

/** Reads a store and checks it with its password. Throws a JceksError. */
export function parseJceks(bytes: Buffer, password: string): JceksKeyStore {
  if (bytes.length < 12 + digestBytes || bytes.readUInt32BE(0) !== 0xcececece) {
    throw new JceksError("is not of type JCEKS");
  }
  const content = bytes.subarray(0, bytes.length - digestBytes);
  const digest = createHash("sha1")
    .update(Buffer.from(password, "utf16le").swap16())
    .update("Mighty Aphrodite")
    .update(content)
    .digest();
  if (!digest.equals(bytes.subarray(content.length))) {
    throw new JceksError("was changed, or the password is not the store's");
  }
  const sealed = new StoreReader(content).secretKeys();
  return {
    aliases: [...sealed.keys()],
    async secretKey(alias, keyPassword) {
      const object = sealed.get(alias.toLowerCase());
      return object && (await unseal(object, keyPassword));
    },
  };
}

class StoreReader {
  readonly #bytes: Buffer;
  #at = 4;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  secretKeys(): Map<string, JavaObject> {
    const version = this.#number();
    if (version !== 1 && version !== 2) throw new JceksError(`has version ${version}`);
    const count = this.#number();
    if (count > entriesMax) throw new JceksError(`claims to have ${count} entries`);
    const found = new Map<string, JavaObject>();
    for (let i = 0; i < count; i++) {
      const tag = this.#number();
      const alias = this.#utf();
      this.#skip(8);
      if (tag === 1) this.#privateKey(version);
      else if (tag === 2) this.#certificate(version);
      else if (tag === 3) found.set(alias.toLowerCase(), this.#sealedObject());
      else throw new JceksError(`has an entry of type ${tag}`);
    }
    return found;
  }

  #privateKey(version: number): void {
    this.#skip(this.#number());
    const count = this.#number();
    for (let i = 0; i < count; i++) this.#certificate(version);
  }

  #certificate(version: number): void {
    if (version === 2) this.#utf();
    this.#skip(this.#number());
  }

  #sealedObject(): JavaObject {
    try {
      const { object, end } = readJavaObject(this.#bytes, this.#at);
      this.#at = end;
      return object;
    } catch (error) {
      if (error instanceof JavaStreamError) {
        throw new JceksError(`has a secret key that cannot be read: ${error.message}`);
      }
      throw error;
    }
  }

  #number(): number {
    return this.#bytes.readUInt32BE(this.#skip(4));
  }

  #utf(): string {
    const length = this.#bytes.readUInt16BE(this.#skip(2));
    const start = this.#skip(length);
    return this.#bytes.toString("utf8", start, start + length);
  }

  /** Where those bytes begin. */
  #skip(count: number): number {
    const start = this.#at;
    if (count > this.#bytes.length - start) throw new JceksError("is cut off");
    this.#at += count;
    return start;
  }
}

async function unseal({ fields }: JavaObject, password: string): Promise<JceksSecretKey> {
  const content = fields.get("encryptedContent");
  const parameters = fields.get("encodedParams");
  const algorithm = fields.get("sealAlg");
  if (algorithm !== "PBEWithMD5AndTripleDES") {
    throw new JceksError(`has a key protected by ${String(algorithm)}, not PBEWithMD5AndTripleDES`);
  }
  if (!Buffer.isBuffer(content) || !Buffer.isBuffer(parameters)) {
    throw new JceksError("has a secret key without content");
  }
  const { salt, iterations } = decodeParameters(parameters);
  if (!/^[\x20-\x7e]*$/.test(password)) {
    throw new JceksError(
      "protects keys with passwords of ASCII characters, and the one given has others",
    );
  }
  const derived = await deriveKeyAndIv(salt, iterations, Buffer.from(password, "latin1"));
  let clear: Buffer;
  let object: JavaObject;
  try {
    const cipher = createDecipheriv("des-ede3-cbc", derived.subarray(0, 24), derived.subarray(24));
    clear = Buffer.concat([cipher.update(content), cipher.final()]);
    object = readJavaObject(clear, 0).object;
  } catch {
    throw new JceksError("has the key, and the password is not the key's");
  }
  const key = object.fields.get("key") ?? object.fields.get("encoded");
  const keyAlgorithm = object.fields.get("algorithm");
  if (!Buffer.isBuffer(key) || typeof keyAlgorithm !== "string") {
    throw new JceksError(`has a ${object.className} where a key should be`);
  }
  return { algorithm: keyAlgorithm, key: Buffer.from(key) };
}

/** DER: SEQUENCE { OCTET STRING salt of 8 bytes, INTEGER iterations }. */
function decodeParameters(der: Buffer): { salt: Buffer; iterations: number } {
  const bytes = der.length - 14;
  const fits =
    bytes >= 1 &&
    bytes <= 4 &&
    der.subarray(0, 4).equals(Buffer.from([0x30, der.length - 2, 0x04, 8])) &&
    der[12] === 0x02 &&
    der[13] === bytes;
  const iterations = fits ? der.readUIntBE(14, bytes) : 0;
  if (!fits || iterations < 1 || iterations > iterationsMax) {
    throw new JceksError(
      `has a key whose protection cannot be read, or asks for more than ${iterationsMax} rounds`,
    );
  }
  return { salt: der.subarray(4, 12), iterations };
}

/** The 24 bytes of the key and the 8 of the initialization vector. */
export async function deriveKeyAndIv(
  salt: Buffer,
  iterations: number,
  password: Buffer,
): Promise<Buffer> {
  let first = salt.subarray(0, 4);
  const second = salt.subarray(4, 8);
  if (first.equals(second)) first = Buffer.from(first).reverse();
  const result: Buffer[] = [];
  for (const half of [first, second]) {
    let digest = hash("md5", Buffer.concat([half, password]), "buffer");
    const input = Buffer.concat([digest, password]);
    for (let i = 1; i < iterations; i++) {
      digest.copy(input);
      digest = hash("md5", input, "buffer");
      if (i % hashesPerTurn === 0) await yieldToEventLoop();
    }
    result.push(digest);
  }
  return Buffer.concat(result);
}
