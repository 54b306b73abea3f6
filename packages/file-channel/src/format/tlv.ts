/**
 * What may be added to a header, a record or a snapshot later:
 *
 *   tlv = u16 type | u16 bytes | value
 *
 * Type 0 ends a list. A reader skips a type it does not know when the bit 0x8000 is set, and
 * refuses the file by the type's number when it is not.
 */
import { MillraceError } from "@millrace/core";

export const tlvOptional = 0x8000;

export interface Tlv {
  readonly type: number;
  readonly value: Buffer;
}

export function tlvBytes(list: readonly Tlv[]): number {
  let bytes = 0;
  for (const { value } of list) bytes += 4 + value.length;
  return bytes;
}

/** Writes the list; returns the offset behind it. */
export function writeTlvs(into: Buffer, at: number, list: readonly Tlv[]): number {
  for (const { type, value } of list) {
    into.writeUInt16BE(type, at);
    into.writeUInt16BE(value.length, at + 2);
    value.copy(into, at + 4);
    at += 4 + value.length;
  }
  return at;
}

/**
 * Reads the list in `[at, end)`; undefined when a length does not fit. Unknown required types throw
 * CHANNEL_FORMAT with `where`.
 */
export function readTlvs(
  from: Buffer,
  at: number,
  end: number,
  known: readonly number[],
  where: string,
): Tlv[] | undefined {
  const list: Tlv[] = [];
  while (at + 4 <= end) {
    const type = from.readUInt16BE(at);
    if (type === 0) break;
    const bytes = from.readUInt16BE(at + 2);
    if (at + 4 + bytes > end) return undefined;
    if (known.includes(type)) list.push({ type, value: from.subarray(at + 4, at + 4 + bytes) });
    else if ((type & tlvOptional) === 0) {
      throw new MillraceError(
        "CHANNEL_FORMAT",
        `${where} carries the extension ${type}, which this version does not know`,
      );
    }
    at += 4 + bytes;
  }
  return list;
}

export function tlvU64(list: readonly Tlv[], type: number): Buffer | undefined {
  return list.find((tlv) => tlv.type === type && tlv.value.length === 8)?.value;
}
