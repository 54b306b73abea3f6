/**
 * The body of a PUT in an encrypted segment: AES-256-GCM under the segment's data key.
 *
 *   SEAL  = the last extension of the record: u64 attempt | tag(16)
 *   nonce = u32 0 | u64 attempt          attempts at writing a PUT into this segment, from 1
 *   AAD   = bytes 8..39 of the head | ext without the tag
 *   body  = ciphertext, as long as the events
 *
 * Heads, ACKs, SNAPSHOTs and MARKs stay plain: they hold numbers only. bodyCrc covers what is
 * stored, so damage is found, told apart from a torn end, and set aside without any key. Nothing is
 * written to a segment after a write to it failed, nor after a restart, and each segment has a key
 * of its own: so no nonce is used twice under one key (`log/encrypted-nonces.test.ts`).
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import { writeU64 } from "./bytes.ts";
import { extType, recordHeadBytes } from "./record.ts";
import type { Tlv } from "./tlv.ts";

const algorithm = "aes-256-gcm";
const tagBytes = 16;
const sealBytes = 8 + tagBytes;
/** What sealing adds to a record's extensions. */
export const sealTlvBytes = 4 + sealBytes;
const authenticatedFrom = 8;

/** The seal's place, the tag still to be filled in. */
export function sealTlv(attempt: number): Tlv {
  const value = Buffer.alloc(sealBytes);
  writeU64(value, 0, attempt);
  return { type: extType.seal, value };
}

/** Encrypts bodies for one segment. It counts what it is asked for, written in the end or not. */
export class BodySealer {
  readonly #dataKey: Buffer;
  #attempts = 0;

  constructor(dataKey: Buffer) {
    this.#dataKey = dataKey;
  }

  nextAttempt(): number {
    return ++this.#attempts;
  }

  /**
   * The body's parts encrypted, each as long as it was. `start` is the record's head and ext, ending
   * with its seal, into which the tag is written.
   */
  seal(start: Buffer, body: readonly Buffer[]): Buffer[] {
    const tagAt = start.length - tagBytes;
    const cipher = createCipheriv(algorithm, this.#dataKey, nonceAt(start, tagAt));
    cipher.setAAD(start.subarray(authenticatedFrom, tagAt));
    const sealed = body.map((part) => cipher.update(part));
    cipher.final();
    cipher.getAuthTag().copy(start, tagAt);
    return sealed;
  }
}

/**
 * The events of a sealed body; undefined when it is not what was sealed under this key, or not
 * sealed at all. `start` is the record's head and ext.
 */
export function openBody(dataKey: Buffer, start: Buffer, body: Buffer): Buffer | undefined {
  const tagAt = start.length - tagBytes;
  const sealAt = start.length - sealTlvBytes;
  if (sealAt < recordHeadBytes || start.readUInt16BE(sealAt) !== extType.seal) return undefined;
  if (start.readUInt16BE(sealAt + 2) !== sealBytes) return undefined;
  const decipher = createDecipheriv(algorithm, dataKey, nonceAt(start, tagAt));
  decipher.setAAD(start.subarray(authenticatedFrom, tagAt));
  decipher.setAuthTag(start.subarray(tagAt));
  const opened = decipher.update(body);
  try {
    decipher.final();
  } catch {
    return undefined;
  }
  return opened;
}

function nonceAt(start: Buffer, tagAt: number): Buffer {
  const nonce = Buffer.alloc(12);
  start.copy(nonce, 4, tagAt - 8, tagAt);
  return nonce;
}
