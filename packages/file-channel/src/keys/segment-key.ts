/**
 * The data key of one segment, never stored:
 *
 *   HKDF-SHA256(secret = the named key, salt = the header's key salt,
 *               info = "millrace segment 1\n" channel(16) run(8) id(8)) = data key(32) | check(16)
 *
 * The check value stands in the header: a key that derives another is a wrong one.
 */
import { MillraceError } from "@millrace/core";
import { hkdfSync } from "node:crypto";
import { writeU64 } from "../format/bytes.ts";
import { keyCheckBytes, type SegmentHeader } from "../format/segment-header.ts";
import type { KeyProvider } from "./key-provider.ts";

const dataKeyBytes = 32;
const purpose = "millrace segment 1\n";

export interface SegmentKey {
  readonly dataKey: Buffer;
  readonly check: Buffer;
}

type KeyedSegment = Pick<SegmentHeader, "channel" | "run" | "id">;

export function deriveSegmentKey(
  named: Buffer,
  segment: KeyedSegment,
  keySalt: Buffer,
): SegmentKey {
  const id = Buffer.alloc(8);
  writeU64(id, 0, segment.id);
  const info = Buffer.concat([
    Buffer.from(purpose),
    Buffer.from(segment.channel, "hex"),
    Buffer.from(segment.run, "hex"),
    id,
  ]);
  const derived = hkdfSync("sha256", named, keySalt, info, dataKeyBytes + keyCheckBytes);
  const bytes = Buffer.from(derived);
  return { dataKey: bytes.subarray(0, dataKeyBytes), check: bytes.subarray(dataKeyBytes) };
}

/**
 * The data key of a segment that exists; undefined of a plain one. Throws KEY_MISSING, KEY_INVALID,
 * or KEY_WRONG when the key of that name is another than the one it was written with.
 */
export async function openSegmentKey(
  header: SegmentHeader,
  keys: KeyProvider,
): Promise<Buffer | undefined> {
  const { encryption } = header;
  if (encryption === undefined) return undefined;
  const { keyAlias, keySalt, keyCheck } = encryption;
  const { dataKey, check } = deriveSegmentKey(await keys.key(keyAlias), header, keySalt);
  if (check.equals(keyCheck)) return dataKey;
  throw new MillraceError(
    "KEY_WRONG",
    `the key "${keyAlias}" is not the one that segment ${header.id} was encrypted with; bring back the key that had this name then, and give a new key a new name`,
    { context: { keyAlias, segment: header.id } },
  );
}
