import { type FileSystem, MillraceError, systemErrorCode } from "@millrace/core";
import { dirname } from "node:path";
import type {
  EventStore,
  ReadRequest,
  StoreChange,
  StoredEvents,
  StoreState,
} from "../event-store.ts";
import { packEvents, unpackRows } from "../packed-events.ts";
import type {
  PackedChange,
  SqliteReply,
  SqliteRequest,
  SqliteSettings,
} from "./sqlite-messages.ts";
import { type SqliteThread, startWorker, type StartThread } from "./sqlite-thread.ts";

/** A channel's rows in an SQLite file that belongs to it alone, behind a thread of its own. */
export function createSqliteStore(
  settings: SqliteSettings,
  files: FileSystem,
  startThread: StartThread = startWorker,
): EventStore {
  return new SqliteStore(settings, files, startThread);
}

interface Call {
  resolve(reply: SqliteReply): void;
  reject(error: MillraceError): void;
}

type Asked<K> = K extends SqliteRequest ? Omit<K, "id"> : never;

class SqliteStore implements EventStore {
  readonly place: string;
  readonly #settings: SqliteSettings;
  readonly #files: FileSystem;
  readonly #calls = new Map<number, Call>();
  readonly #startThread: StartThread;
  #thread: SqliteThread | undefined;
  #nextId = 1;
  #vacantBytes = 0;

  constructor(settings: SqliteSettings, files: FileSystem, startThread: StartThread) {
    this.place = settings.path;
    this.#settings = settings;
    this.#files = files;
    this.#startThread = startThread;
  }

  async open(lost: (error: MillraceError) => void): Promise<StoreState> {
    await this.#end();
    await makeDirectories(this.#files, dirname(this.#settings.path));
    this.#start(lost);
    try {
      const { state } = await this.#ask({ kind: "open", settings: this.#settings });
      return state as StoreState;
    } catch (error) {
      await this.#end();
      throw error;
    }
  }

  async write({ removed, added, after }: StoreChange): Promise<void> {
    if (added === undefined) {
      await this.#ask({ kind: "write", change: { removed, added, after } });
      return;
    }
    await this.#demandRoom(added.batch.byteLength);
    const { firstSequence, putTimeMs, batch } = added;
    const packed = packEvents(batch);
    const change: PackedChange = {
      removed,
      added: { ...packed, firstSequence, putTimeMs },
      after,
    };
    await this.#ask({ kind: "write", change }, [packed.slab.buffer, packed.offsets.buffer]);
  }

  /**
   * SQLite writes deletions, too, behind its log, and moves that into the file later: on a disk that is
   * full to the last byte nothing could ever be deleted.
   */
  async #demandRoom(bytes: number): Promise<void> {
    const { path, minimumFreeBytes } = this.#settings;
    if (minimumFreeBytes === 0) return;
    const free = await this.#files.freeBytes(dirname(path));
    if (free - bytes >= minimumFreeBytes) return;
    // What fits the file's vacant pages only passes through the log.
    if (free - bytes >= minimumFreeBytes / 2 && bytes * 2 <= this.#vacantBytes) return;
    throw new MillraceError(
      "DISK_FULL",
      `${free} bytes are free for ${path}, and puts leave ${minimumFreeBytes} alone (minimumRequiredSpace)`,
      { context: { free, bytes, minimumFreeBytes } },
    );
  }

  async read(request: ReadRequest): Promise<readonly StoredEvents[]> {
    const { rows } = await this.#ask({ kind: "read", request });
    return rows === undefined ? [] : unpackRows(rows);
  }

  async close(): Promise<void> {
    if (this.#thread === undefined) return;
    await this.#ask({ kind: "close" }).catch(() => undefined);
    await this.#end();
  }

  abandon(): void {
    void this.#end();
  }

  #start(lost: (error: MillraceError) => void): void {
    const thread = this.#startThread({
      answered: (reply) => this.#answered(reply),
      gone: (reason) => {
        if (this.#thread !== thread) return;
        this.#thread = undefined;
        const error = this.#gone(`the thread of ${this.place} is gone: ${reason}`);
        this.#rejectAll(error);
        lost(error);
      },
    });
    this.#thread = thread;
  }

  #ask(request: Asked<SqliteRequest>, transfer: ArrayBuffer[] = []): Promise<SqliteReply> {
    const thread = this.#thread;
    if (thread === undefined) return Promise.reject(this.#gone(`${this.place} is not open`));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      if (this.#calls.size === 0) thread.keepProcess(true);
      this.#calls.set(id, { resolve, reject });
      thread.post({ ...request, id }, transfer);
    });
  }

  #answered(reply: SqliteReply): void {
    this.#vacantBytes = reply.vacantBytes ?? this.#vacantBytes;
    const call = this.#calls.get(reply.id);
    this.#calls.delete(reply.id);
    // What waits for the disk keeps the process; an idle channel does not.
    if (this.#calls.size === 0) this.#thread?.keepProcess(false);
    if (reply.failure === undefined) call?.resolve(reply);
    else call?.reject(new MillraceError(reply.failure.code, reply.failure.message));
  }

  /** Ends the thread: what it had not committed is rolled back by the next opening. */
  async #end(): Promise<void> {
    const thread = this.#thread;
    this.#thread = undefined;
    this.#rejectAll(this.#gone(`${this.place} was closed`));
    await thread?.end();
  }

  #rejectAll(error: MillraceError): void {
    for (const call of this.#calls.values()) call.reject(error);
    this.#calls.clear();
  }

  #gone(message: string): MillraceError {
    return new MillraceError("DATABASE_UNAVAILABLE", message);
  }
}

/** Makes the directory; the names of the new ones are durable before anything is stored in them. */
async function makeDirectories(files: FileSystem, directory: string): Promise<void> {
  const missing: string[] = [];
  for (let path = directory; ; path = dirname(path)) {
    try {
      await files.stat(path);
      break;
    } catch (error) {
      if (systemErrorCode(error) !== "ENOENT") throw denied(directory, error);
      missing.unshift(path);
    }
  }
  if (missing.length === 0) return;
  try {
    await files.makeDirectory(directory);
    for (const path of missing) await files.syncDirectory(dirname(path));
  } catch (error) {
    throw denied(directory, error);
  }
}

function denied(directory: string, cause: unknown): MillraceError {
  const text = (cause as Error).message;
  return new MillraceError("PERMISSION_DENIED", `${directory} cannot be used: ${text}`, { cause });
}
