/** An event as it may stand on the wire: headers in blocks, a name perhaps twice. */
export interface WireEvent {
  readonly blocks: readonly WireBlock[];
  readonly body: Uint8Array;
}

export interface WireBlock {
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Written as a negative count and the block's size in bytes. */
  readonly negative: boolean;
}

/** Avro's bytes of one event, in the forms other encoders may write and ours never does. */
export function encodeWireEvent({ blocks, body }: WireEvent): Buffer {
  const parts = blocks
    .filter(({ headers }) => headers.length > 0)
    .map(({ headers, negative }) => {
      const entries = headers.flatMap(([name, value]) => [wireString(name), wireString(value)]);
      return encodeWireBlock(entries, headers.length, negative);
    });
  return Buffer.concat([...parts, wireLong(0), wireLong(body.length), body]);
}

/** Avro's bytes of an array of events, in as many blocks as given. */
export function encodeWireArray(
  blocks: readonly { readonly events: readonly Uint8Array[]; readonly negative: boolean }[],
): Buffer {
  const parts = blocks
    .filter(({ events }) => events.length > 0)
    .map(({ events, negative }) => encodeWireBlock(events, events.length, negative));
  return Buffer.concat([...parts, wireLong(0)]);
}

function encodeWireBlock(
  items: readonly Uint8Array[],
  count: number,
  negative: boolean,
): Uint8Array {
  const content = Buffer.concat(items);
  return negative
    ? Buffer.concat([wireLong(-count), wireLong(content.length), content])
    : Buffer.concat([wireLong(count), content]);
}

function wireString(text: string): Buffer {
  return Buffer.concat([wireLong(Buffer.byteLength(text)), Buffer.from(text)]);
}

/** A zigzag varint, by the arithmetic of the Avro specification: any 64-bit number. */
export function wireLong(value: number | bigint): Buffer {
  const number = BigInt(value);
  let rest = number >= 0n ? number * 2n : -number * 2n - 1n;
  const bytes: number[] = [];
  while (rest >= 0x80n) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}
