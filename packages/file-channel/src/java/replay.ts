/**
 * What is left to be delivered, found from the records' heads alone:
 *
 *   waiting = puts whose transaction was committed
 *             - puts that a committed transaction took
 *             - with a checkpoint: those committed before it that were not waiting then
 *
 * in the order of the commits. Which take a data file tells of does not matter, nor in which order
 * the files are read. A take's record may point into a file that is gone: Java lets a data file go
 * when no event of it is waiting, so that event was delivered. It may also itself be gone with its
 * file while the put is still there (Java keeps two files a directory): only the checkpoint knows
 * then, and without one such an event is delivered again. A put that is waiting keeps its file.
 */
import type { FileSystem } from "@millrace/core";
import type { Checkpoint } from "./checkpoint.ts";
import { CommittedRuns } from "./committed-runs.ts";
import type { JavaLog } from "./find-logs.ts";
import { lentFlag, LogPuts, openTakeFlag, placedFlag, takenFlag } from "./log-puts.ts";
import { type Pointer, PointerList } from "./pointer-list.ts";
import { commitType, putType, type RecordHead, rollbackType } from "./record.ts";
import { type LogWalk, walkLog } from "./walk-log.ts";

export interface WalkedLog extends LogWalk {
  readonly log: JavaLog;
}

export interface Replay {
  /** In the order of delivery. */
  readonly waiting: PointerList;
  readonly walked: readonly WalkedLog[];
  readonly highestWriteOrder: number;
  /** Events whose commit may lie in a broken stretch; they are among the waiting ones. */
  readonly inDoubt: number;
  /** Events that were taken by a transaction that had not ended; they are among the waiting ones. */
  readonly takenUncommitted: number;
  /** Puts of transactions that were rolled back or never ended. */
  readonly notCommitted: number;
  /** Waiting by the checkpoint, and their data file is not there. */
  readonly missing: readonly Pointer[];
}

/** What a transaction did until it ends. */
interface OpenTransaction {
  /** File, first put, count: three numbers each. */
  readonly puts: number[];
  readonly takes: PointerList;
  lastFile: number;
  lastOffset: number;
  lastOrder: number;
}

const missingMax = 1000;

/** Reads all data files once. `checkpoint` must be of this channel. */
export async function replayLogs(
  files: FileSystem,
  logs: readonly JavaLog[],
  checkpoint: Checkpoint | undefined,
  progress?: (bytes: number) => void,
): Promise<Replay> {
  const replay = new Replaying(logs, checkpoint);
  let before = 0;
  for (const [index, log] of logs.entries()) {
    const walk = await walkLog(files, log, {
      record: (head, offset) => replay.record(head, index, offset),
      progress: (bytes) => progress?.(before + bytes),
    });
    replay.walked.push({ ...walk, log });
    before += log.size;
  }
  return replay.finish();
}

class Replaying {
  readonly walked: WalkedLog[] = [];
  readonly #logs: readonly JavaLog[];
  readonly #checkpoint: Checkpoint | undefined;
  readonly #puts: LogPuts[];
  readonly #indexOf: ReadonlyMap<number, number>;
  readonly #open = new Map<number, OpenTransaction>();
  readonly #runs = new CommittedRuns();
  /** Taken, and their put was not seen so far. */
  #takenEarly = new PointerList();
  #highestWriteOrder = 0;
  #notCommitted = 0;
  #inDoubt = 0;

  constructor(logs: readonly JavaLog[], checkpoint: Checkpoint | undefined) {
    this.#logs = logs;
    this.#checkpoint = checkpoint;
    this.#puts = logs.map(() => new LogPuts());
    this.#indexOf = new Map(logs.map(({ id }, index) => [id, index]));
    for (const { transaction, pointers } of checkpoint?.openTakes ?? []) {
      const { takes } = this.#transaction(transaction);
      for (let i = 0; i < pointers.length; i++) takes.push(pointers.file(i), pointers.offset(i));
    }
  }

  record(head: RecordHead, index: number, offset: number): void {
    const { transaction: id, writeOrder } = head;
    this.#highestWriteOrder = Math.max(this.#highestWriteOrder, writeOrder);
    if (head.type === rollbackType) {
      this.#notCommitted += putCount(this.#open.get(id));
      this.#open.delete(id);
    } else if (head.type === commitType) {
      const transaction = this.#open.get(id);
      this.#open.delete(id);
      if (transaction === undefined) return;
      if (head.commits === putType) this.#commitPuts(transaction, writeOrder);
      else this.#commitTakes(transaction.takes);
    } else {
      const transaction = this.#transaction(id);
      transaction.lastFile = index;
      transaction.lastOffset = offset;
      transaction.lastOrder = writeOrder;
      if (head.type === putType) this.#put(transaction, index, offset);
      else transaction.takes.push(head.file, head.offset);
    }
  }

  finish(): Replay {
    const early = this.#takenEarly;
    this.#takenEarly = new PointerList();
    this.#commitTakes(early);
    this.#settleDoubts();
    const waiting = new PointerList();
    const missing = this.#placeCheckpoint(waiting);
    const from = this.#checkpoint?.writeOrder ?? -1;
    this.#runs.each((order, file, first, count) => {
      if (order <= from) return;
      for (let put = first; put < first + count; put++) this.#place(waiting, file, put);
    });
    for (const transaction of this.#open.values()) this.#notCommitted += putCount(transaction);
    return {
      waiting,
      missing,
      takenUncommitted: this.#countLent(),
      walked: this.walked,
      highestWriteOrder: this.#highestWriteOrder,
      inDoubt: this.#inDoubt,
      notCommitted: this.#notCommitted,
    };
  }

  #transaction(id: number): OpenTransaction {
    let transaction = this.#open.get(id);
    if (transaction === undefined) {
      const takes = new PointerList();
      transaction = { puts: [], takes, lastFile: -1, lastOffset: 0, lastOrder: 0 };
      this.#open.set(id, transaction);
    }
    return transaction;
  }

  #put({ puts }: OpenTransaction, file: number, offset: number): void {
    const index = (this.#puts[file] as LogPuts).add(offset);
    const last = puts.length - 3;
    const follows =
      puts[last] === file && (puts[last + 1] as number) + (puts[last + 2] as number) === index;
    if (follows) puts[last + 2] = (puts[last + 2] as number) + 1;
    else puts.push(file, index, 1);
  }

  #commitPuts({ puts }: OpenTransaction, order: number): void {
    for (let i = 0; i < puts.length; i += 3) {
      const [file, first, count] = puts.slice(i, i + 3) as [number, number, number];
      this.#runs.add(order, file, first, count);
    }
  }

  #commitTakes(takes: PointerList): void {
    for (let i = 0; i < takes.length; i++) {
      const index = this.#indexOf.get(takes.file(i));
      if (index === undefined) continue;
      const puts = this.#puts[index] as LogPuts;
      const put = puts.find(takes.offset(i));
      if (put >= 0) puts.mark(put, takenFlag);
      else this.#takenEarly.push(takes.file(i), takes.offset(i));
    }
  }

  /**
   * A put transaction without an end, and bytes behind it in its directory that cannot be read: its
   * commit may be among them. It is taken for committed, as one event twice is better than none.
   */
  #settleDoubts(): void {
    const { writeOrder = -1, openPuts } = this.#checkpoint ?? {};
    for (const [id, transaction] of this.#open) {
      const count = putCount(transaction);
      if (count === 0 || !this.#isBrokenBehind(transaction)) continue;
      if (transaction.lastOrder <= writeOrder && openPuts?.has(id) !== true) continue;
      this.#open.delete(id);
      this.#inDoubt += count;
      this.#commitPuts(transaction, Math.max(transaction.lastOrder, writeOrder + 1));
    }
  }

  #isBrokenBehind({ lastFile, lastOffset }: OpenTransaction): boolean {
    const directory = this.#logs[lastFile]?.directory;
    return this.walked.some(
      ({ log, broken }, index) =>
        log.directory === directory &&
        index >= lastFile &&
        broken.some(({ offset }) => index > lastFile || offset > lastOffset),
    );
  }

  /** First what was taken and not committed, then the queue, as Java does; returns what is gone. */
  #placeCheckpoint(waiting: PointerList): Pointer[] {
    const missing: Pointer[] = [];
    const lists = (this.#checkpoint?.openTakes ?? []).map(({ pointers }) => pointers);
    this.#placeOpenTakes(waiting, lists);
    if (this.#checkpoint !== undefined) lists.push(this.#checkpoint.queue);
    const taken = this.#takenFromNowhere();
    for (const list of lists) {
      for (let i = 0; i < list.length; i++) {
        const file = list.file(i);
        const offset = list.offset(i);
        const index = this.#indexOf.get(file);
        const put = index === undefined ? -1 : (this.#puts[index] as LogPuts).find(offset);
        if (index !== undefined && put >= 0) this.#place(waiting, index, put);
        else if (taken.has(pointerKey(file, offset))) continue;
        else if (index !== undefined) waiting.push(file, offset);
        else if (missing.length < missingMax) missing.push({ file, offset });
      }
    }
    return missing;
  }

  /** Java keeps what a transaction took as a set; the order of the commits is the one it had. */
  #placeOpenTakes(waiting: PointerList, lists: readonly PointerList[]): void {
    if (lists.length === 0) return;
    for (const list of lists) {
      for (let i = 0; i < list.length; i++) {
        const puts = this.#puts[this.#indexOf.get(list.file(i)) ?? -1];
        const put = puts?.find(list.offset(i)) ?? -1;
        if (put >= 0) puts?.mark(put, openTakeFlag);
      }
    }
    this.#runs.each((_order, file, first, count) => {
      const puts = this.#puts[file] as LogPuts;
      for (let put = first; put < first + count; put++) {
        if (puts.is(put, openTakeFlag)) this.#place(waiting, file, put);
      }
    });
  }

  /** Events that are waiting and that a transaction without an end had taken. */
  #countLent(): number {
    let count = 0;
    for (const { takes } of this.#open.values()) {
      for (let i = 0; i < takes.length; i++) {
        const puts = this.#puts[this.#indexOf.get(takes.file(i)) ?? -1];
        const put = puts?.find(takes.offset(i)) ?? -1;
        if (puts?.is(put, placedFlag) !== true || puts.is(put, lentFlag)) continue;
        puts.mark(put, lentFlag);
        count++;
      }
    }
    return count;
  }

  /** Taken, and the put was never seen: it lies where the file cannot be read. */
  #takenFromNowhere(): Set<number> {
    const taken = new Set<number>();
    const list = this.#takenEarly;
    for (let i = 0; i < list.length; i++) taken.add(pointerKey(list.file(i), list.offset(i)));
    return taken;
  }

  #place(waiting: PointerList, file: number, put: number): void {
    const puts = this.#puts[file] as LogPuts;
    if (puts.is(put, takenFlag) || puts.is(put, placedFlag)) return;
    puts.mark(put, placedFlag);
    waiting.push((this.#logs[file] as JavaLog).id, puts.offset(put));
  }
}

const pointerKey = (file: number, offset: number): number => file * 2 ** 31 + offset;

function putCount(transaction: OpenTransaction | undefined): number {
  let count = 0;
  const puts = transaction?.puts ?? [];
  for (let i = 2; i < puts.length; i += 3) count += puts[i] as number;
  return count;
}
