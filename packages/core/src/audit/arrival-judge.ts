import { crc32 } from "node:zlib";
import type { Arrival } from "./arrival-lines.ts";
import { type BitSet, createBitSet } from "./bit-set.ts";
import { createLineLedger, type LineLedger } from "./line-ledger.ts";

/**
 * Compares what was written into files with what came out at the end of a chain of agents, while it
 * runs. It is told of every line at both ends, in any mix, except that a line is issued before it
 * arrives. Memory: 12 bytes and a bit for each output, a line.
 */
export interface ArrivalJudge {
  /** A line was written to the stream, ending (with its line end) at `endOffset`. */
  issue(stream: string, line: Buffer, endOffset: number): void;
  /** The source will not read what lies before the offset again: from now on it must arrive. */
  acknowledge(stream: string, offset: number): void;
  /** A line was found in an output; undefined when it says nothing about where it comes from. */
  arrive(output: string, arrival: Arrival | undefined, where: string): void;
  /** The stream can not be judged any more, and why: its file was replaced under the source. */
  setAside(stream: string, reason: string): void;
  totals(): ArrivalTotals;
  /** A mark in each stream: behind what is issued, or acknowledged, now. */
  marks(what: "issued" | "acknowledged"): Marks;
  /** How many lines before the marks are not acknowledged, and how many have not arrived. */
  outstanding(marks: Marks): { readonly unacknowledged: number; readonly missing: number };
  /** With marks: only lines before them are asked for. */
  verdict(marks?: Marks): ArrivalVerdict;
}

/** Stream to a number of lines. */
export type Marks = ReadonlyMap<string, number>;

export interface ArrivalTotals {
  readonly issued: number;
  readonly acknowledged: number;
  /** Lines in the outputs, each as often as it is there. */
  readonly arrived: number;
  readonly distinct: number;
  readonly duplicates: number;
}

export interface ArrivalVerdict extends ArrivalTotals {
  /** Issued, not arrived; in the order of the streams and lines; `missing` counts all of them. */
  readonly missing: number;
  readonly missingAcknowledged: number;
  readonly missingLines: readonly MissingLine[];
  /** Arrived, never issued. */
  readonly unknown: number;
  /** Issued with other bytes. */
  readonly changed: number;
  /** Came first after a later line of their stream, though an output keeps each stream's order. */
  readonly outOfOrder: number;
  /** The first of the unknown, changed and out of order, in words. */
  readonly complaints: readonly string[];
  readonly setAside: ReadonlyMap<string, string>;
}

export interface MissingLine {
  readonly stream: string;
  /** From 1, as an editor counts. */
  readonly lineNumber: number;
  readonly startOffset: number;
  readonly acknowledged: boolean;
}

interface Stream {
  readonly ledger: LineLedger;
  readonly arrived: BitSet;
  readonly outputs: Map<string, StreamInOutput>;
  acknowledged: number;
  /** Every line before it has arrived. */
  arrivedThrough: number;
  arrivals: number;
  duplicates: number;
}

interface StreamInOutput {
  readonly arrived: BitSet;
  latest: number;
  /** First in this output behind a later one; whether first at all shows at the end. */
  readonly late: { index: number; where: string }[];
}

const listedMax = 20;

export function createArrivalJudge(): ArrivalJudge {
  const streams = new Map<string, Stream>();
  const asideReasons = new Map<string, string>();
  const complaints: string[] = [];
  let strayArrivals = 0;
  let unknown = 0;
  let changed = 0;

  function complain(text: string): void {
    if (complaints.length < listedMax) complaints.push(text);
  }

  function judgeOne(output: string, arrival: Arrival, where: string): void {
    const stream = streams.get(arrival.stream);
    const index = arrival.index ?? stream?.ledger.indexAt(arrival.startOffset ?? -1) ?? -1;
    if (stream === undefined || index < 0 || index >= stream.ledger.count) {
      unknown++;
      strayArrivals++;
      const at = arrival.index ?? `offset ${arrival.startOffset}`;
      return complain(`${where}: never written: ${arrival.stream} line ${at}`);
    }
    stream.arrivals++;
    if (stream.ledger.checksumOf(index) !== crc32(arrival.body)) {
      changed++;
      return complain(`${where}: not the bytes of ${arrival.stream} line ${index + 1}`);
    }
    note(stream, output, index, where);
  }

  function note(stream: Stream, output: string, index: number, where: string): void {
    if (!stream.arrived.add(index)) stream.duplicates++;
    while (stream.arrived.has(stream.arrivedThrough)) stream.arrivedThrough++;
    const seen = stream.outputs.get(output) ?? { arrived: createBitSet(), latest: -1, late: [] };
    stream.outputs.set(output, seen);
    if (!seen.arrived.add(index)) return;
    if (index > seen.latest) seen.latest = index;
    else seen.late.push({ index, where });
  }

  function totals(): ArrivalTotals {
    let issued = 0;
    let acknowledged = 0;
    let arrived = strayArrivals;
    let distinct = 0;
    let duplicates = 0;
    for (const stream of streams.values()) {
      arrived += stream.arrivals;
      duplicates += stream.duplicates;
      issued += stream.ledger.count;
      acknowledged += stream.acknowledged;
      distinct += stream.arrived.count;
    }
    return { issued, acknowledged, arrived, distinct, duplicates };
  }

  function missingLines(marks: Marks): {
    missing: number;
    acknowledged: number;
    listed: MissingLine[];
  } {
    let missing = 0;
    let acknowledged = 0;
    const listed: MissingLine[] = [];
    for (const [name, stream] of streams) {
      const end = Math.min(marks.get(name) ?? 0, stream.ledger.count);
      for (let index = stream.arrivedThrough; index < end; index++) {
        if (stream.arrived.has(index)) continue;
        missing++;
        const promised = index < stream.acknowledged;
        if (promised) acknowledged++;
        if (listed.length === listedMax) continue;
        const startOffset = stream.ledger.startOf(index);
        listed.push({
          stream: name,
          lineNumber: index + 1,
          startOffset,
          acknowledged: promised,
        });
      }
    }
    return { missing, acknowledged, listed };
  }

  function marks(what: "issued" | "acknowledged"): Marks {
    return new Map(
      [...streams].map(([name, { ledger, acknowledged }]) => [
        name,
        what === "issued" ? ledger.count : acknowledged,
      ]),
    );
  }

  return {
    issue(name, line, endOffset) {
      if (asideReasons.has(name)) return;
      let stream = streams.get(name);
      if (stream === undefined) {
        stream = createStream();
        streams.set(name, stream);
      }
      stream.ledger.append(endOffset, crc32(line));
    },
    acknowledge(name, offset) {
      const stream = streams.get(name);
      if (stream === undefined) return;
      stream.acknowledged = Math.max(stream.acknowledged, stream.ledger.countThrough(offset));
    },
    arrive(output, arrival, where) {
      if (arrival !== undefined && asideReasons.has(arrival.stream)) return;
      if (arrival !== undefined) return judgeOne(output, arrival, where);
      unknown++;
      strayArrivals++;
      complain(`${where}: does not say which line it is, or was changed`);
    },
    setAside(name, reason) {
      asideReasons.set(name, reason);
      streams.delete(name);
    },
    totals,
    marks,
    outstanding(marks) {
      let unacknowledged = 0;
      for (const [name, end] of marks) {
        unacknowledged += Math.max(0, end - (streams.get(name)?.acknowledged ?? end));
      }
      return { unacknowledged, missing: missingLines(marks).missing };
    },
    verdict(upTo = marks("issued")) {
      const { missing, acknowledged: missingAcknowledged, listed } = missingLines(upTo);
      const disordered = outOfOrder(streams);
      return {
        ...totals(),
        missing,
        missingAcknowledged,
        missingLines: listed,
        unknown,
        changed,
        outOfOrder: disordered.length,
        complaints: [...complaints, ...disordered].slice(0, listedMax),
        setAside: asideReasons,
      };
    },
  };
}

function createStream(): Stream {
  return {
    ledger: createLineLedger(),
    arrived: createBitSet(),
    outputs: new Map(),
    acknowledged: 0,
    arrivedThrough: 0,
    arrivals: 0,
    duplicates: 0,
  };
}

/**
 * A line that is late in one output and in no other came first out of order. One that is in another
 * output too may have come first there, in order: what is late here is then the duplicate.
 */
function outOfOrder(streams: ReadonlyMap<string, Stream>): string[] {
  const found: string[] = [];
  for (const [name, stream] of streams) {
    for (const [output, { late }] of stream.outputs) {
      for (const { index, where } of late) {
        const elsewhere = [...stream.outputs].some(
          ([other, { arrived }]) => other !== output && arrived.has(index),
        );
        if (elsewhere) continue;
        found.push(`${where}: ${name} line ${index + 1} came first behind a later line`);
      }
    }
  }
  return found;
}
