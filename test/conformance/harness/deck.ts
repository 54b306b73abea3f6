import type { Event } from "@millrace/core";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile, rename, writeFile } from "node:fs/promises";

/**
 * Batches of events in a file, for Java programs to send and to say what they received:
 *
 *     deck  := batch*
 *     batch := u32 count, event{count}
 *     event := u32 headers, (text key, text value){headers}, u32 length, body
 *     text  := u32 length, UTF-8          all numbers are big-endian
 *
 * A program that is killed leaves at most an unfinished batch at the end.
 */
export type Deck = readonly (readonly Event[])[];

export function event(body: string | Buffer, headers: Record<string, string> = {}): Event {
  return { headers: new Map(Object.entries(headers)), body: Buffer.from(body) };
}

export function encodeDeck(deck: Deck): Buffer {
  const parts: Buffer[] = [];
  const number = (value: number): void => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    parts.push(bytes);
  };
  const text = (value: string | Buffer): void => {
    const bytes = Buffer.from(value);
    number(bytes.length);
    parts.push(bytes);
  };
  for (const batch of deck) {
    number(batch.length);
    for (const { headers, body } of batch) {
      number(headers.size);
      for (const [key, value] of headers) {
        text(key);
        text(value);
      }
      text(body);
    }
  }
  return Buffer.concat(parts);
}

/** The file appears whole: Java's DeckSource looks for it all the time. */
export async function writeDeck(path: string, deck: Deck): Promise<void> {
  await writeFile(`${path}.part`, encodeDeck(deck));
  await rename(`${path}.part`, path);
}

/** The events of a deck's whole batches; none when the file is not there. */
export async function readDeck(path: string): Promise<Event[]> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  return decodeDeck(bytes);
}

function decodeDeck(bytes: Buffer): Event[] {
  const events: Event[] = [];
  let at = 0;
  const number = (): number => {
    const value = bytes.readUInt32BE(at);
    at += 4;
    return value;
  };
  const take = (): Buffer => {
    const length = number();
    if (at + length > bytes.length) throw new RangeError("cut");
    return bytes.subarray(at, (at += length));
  };
  while (at < bytes.length) {
    const batch: Event[] = [];
    try {
      for (let left = number(); left > 0; left--) {
        const headers = new Map<string, string>();
        for (let more = number(); more > 0; more--)
          headers.set(take().toString(), take().toString());
        batch.push({ headers, body: take() });
      }
    } catch (error) {
      if (error instanceof RangeError) break;
      throw error;
    }
    events.push(...batch);
  }
  return events;
}

/** What two events that are the same have in common, short enough to read in a failure. */
export function describeEvent({ headers, body }: Event): string {
  const sorted = [...headers].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const head = JSON.stringify(sorted);
  const digest = createHash("sha256").update(head).update("\0").update(body).digest("hex");
  return `${digest.slice(0, 16)} ${headers.size} headers ${head.slice(0, 60)}, ${body.length} bytes ${JSON.stringify(body.toString("latin1", 0, 20))}`;
}

/** The same events in the same order. */
export function assertSameEvents(actual: readonly Event[], expected: readonly Event[]): void {
  assert.equal(actual.length, expected.length, "number of events");
  for (const [index, wanted] of expected.entries()) {
    const got = actual[index];
    assert.equal(got && describeEvent(got), describeEvent(wanted), `event ${index}`);
  }
}
