/**
 * Payloads of an encrypted data file. Java has one cipher, AES/CTR/NoPadding (AESCTRNoPaddingProvider),
 * and starts it anew for each record from the one initialization vector in the file's meta, so that
 * every record of a file is encrypted with the same key stream.
 */
import { MillraceError, toMillraceError } from "@millrace/core";
import { createDecipheriv } from "node:crypto";
import type { KeyProvider } from "../keys/key-provider.ts";
import type { LogEncryption } from "./log-meta.ts";
import { headBytesMax } from "./record.ts";

export interface PayloadCipher {
  readonly keyAlias: string;
  /** The first bytes of a payload, `headBytesMax` at most, in the clear. */
  head(payload: Buffer): Buffer;
  whole(payload: Buffer): Buffer;
}

const ivBytes = 16;

/** Throws KEY_MISSING where no key can be had, CHANNEL_FORMAT for a cipher that is not Flume's. */
export async function createPayloadCipher(
  path: string,
  encryption: LogEncryption,
  keys: KeyProvider | undefined,
): Promise<PayloadCipher> {
  const { cipherProvider, keyAlias, parameters } = encryption;
  const context = { file: path, keyAlias };
  if (cipherProvider.toUpperCase() !== "AESCTRNOPADDING" || parameters.length !== ivBytes) {
    const what = `the cipher ${cipherProvider} with ${parameters.length} bytes of parameters`;
    const text = `${path} is encrypted by ${what}, and only AESCTRNOPADDING with ${ivBytes} can be read here; drain the channel with Java Flume`;
    throw new MillraceError("CHANNEL_FORMAT", text, { context });
  }
  if (keys === undefined) {
    throw new MillraceError(
      "KEY_MISSING",
      `${path} is encrypted with the key ${keyAlias}, and no key store was named; name the one of the Java channel's encryption.keyProvider.keyStoreFile`,
      { context },
    );
  }
  const key = await keys.key(keyAlias);
  const algorithm = `aes-${key.length * 8}-ctr`;
  const decipher = (bytes: Buffer): Buffer => {
    const cipher = createDecipheriv(algorithm, key, parameters);
    return cipher.update(bytes);
  };
  let keyStream: Buffer;
  try {
    keyStream = decipher(Buffer.alloc(headBytesMax));
  } catch (error) {
    throw toMillraceError(error, "KEY_INVALID", `the key ${keyAlias} cannot be used for AES`);
  }
  return {
    keyAlias,
    head(payload) {
      const length = Math.min(payload.length, headBytesMax);
      const clear = Buffer.allocUnsafe(length);
      for (let i = 0; i < length; i++) {
        clear[i] = (payload[i] as number) ^ (keyStream[i] as number);
      }
      return clear;
    },
    whole: decipher,
  };
}
