/**
 * The file of one channel:
 *
 *   application_id 0x4d726a63 ("Mrjc"), user_version 1
 *   millrace_channel   one row: name, next_sequence, events, bytes
 *   millrace_event     sequence (the key), put_time (ms since 1970), checksum, event (Avro bytes)
 *
 * checksum is the CRC-32 of the event's bytes, begun with the sequence's low 32 bits: SQLite itself
 * does not notice a flipped bit in a row.
 */
import type { ErrorCode } from "@millrace/core";
import type { ReadRequest, StoreState } from "../event-store.ts";
import { checksumOf, type PackedRows } from "../packed-events.ts";
import {
  type SqliteConnection,
  type SqliteLibrary,
  type SqliteStatement,
  type SqliteValue,
  sqliteCode,
} from "./sqlite-driver.ts";
import type { PackedChange, SqliteSettings } from "./sqlite-messages.ts";

/** A failure with one of our codes, before it crosses to the agent's thread. */
export class SqliteProblem extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

export interface SqliteDatabase {
  readonly state: StoreState;
  write(change: PackedChange): void;
  read(request: ReadRequest): PackedRows;
  /** Bytes of the pages that hold nothing: the file does not shrink, it uses them again. */
  vacantBytes(): number;
  close(): void;
}

const applicationId = 0x4d726a63;
const schemaVersion = 1;
/** Rows of one INSERT: a call costs more than a row. */
const rowsPerInsert = 32;

const schema = `
  CREATE TABLE millrace_channel (
    name TEXT NOT NULL, next_sequence INTEGER NOT NULL, events INTEGER NOT NULL, bytes INTEGER NOT NULL
  );
  CREATE TABLE millrace_event (
    sequence INTEGER PRIMARY KEY, put_time INTEGER NOT NULL, checksum INTEGER NOT NULL, event BLOB NOT NULL
  );
  PRAGMA application_id = ${applicationId};
  PRAGMA user_version = ${schemaVersion};`;

/** Opens the channel's file and locks it for this process; creates it when it is missing or empty. */
export function openSqlite(library: SqliteLibrary, settings: SqliteSettings): SqliteDatabase {
  const { path } = settings;
  let connection: SqliteConnection | undefined;
  try {
    connection = library.open(path);
    // The lock is taken by the first access and kept; nothing is written before the file is known.
    connection.exec("PRAGMA locking_mode = EXCLUSIVE");
    prepareFile(connection, settings);
    return createDatabase(connection, path);
  } catch (error) {
    connection?.close();
    throw problemOf(error, path, "open");
  }
}

function prepareFile(connection: SqliteConnection, settings: SqliteSettings): void {
  const { path, channel, createsSchema, pagesMax } = settings;
  const id = pragma(connection, "application_id");
  const tables = column(connection, "SELECT count(*) AS n FROM sqlite_schema", "n");
  if (id !== applicationId && (id !== 0 || tables !== 0)) {
    throw new SqliteProblem(
      "CHANNEL_FORMAT",
      `${path} is an SQLite database of something else; it is not touched. Name a file of its own for the channel in driver.url`,
    );
  }
  if (id === 0) {
    if (!createsSchema) {
      throw new SqliteProblem(
        "DATABASE_REFUSED",
        `${path} holds no tables yet, and create.schema is false`,
      );
    }
    connection.exec("BEGIN EXCLUSIVE");
    connection.exec(schema);
    connection.prepare("INSERT INTO millrace_channel VALUES (?, 1, 0, 0)").run(channel);
    connection.exec("COMMIT");
  }
  const version = pragma(connection, "user_version");
  if (version !== schemaVersion) {
    throw new SqliteProblem(
      "CHANNEL_FORMAT",
      `${path} has version ${version} of the tables, this Millrace reads ${schemaVersion}`,
    );
  }
  const owner = column(connection, "SELECT name FROM millrace_channel", "name");
  if (owner !== channel) {
    throw new SqliteProblem(
      "CHANNEL_DIRECTORY",
      `${path} holds the events of the channel ${String(owner)}, not of ${channel}`,
    );
  }
  connection.prepare("PRAGMA journal_mode = WAL").get();
  connection.exec("PRAGMA synchronous = FULL; PRAGMA fullfsync = 1");
  if (pagesMax > 0) connection.exec(`PRAGMA max_page_count = ${pagesMax}`);
  // Takes the write lock, which is then kept.
  connection.exec("BEGIN IMMEDIATE; COMMIT");
}

function createDatabase(connection: SqliteConnection, path: string): SqliteDatabase {
  const row = connection
    .prepare("SELECT next_sequence, events, bytes FROM millrace_channel")
    .get() as Record<string, number>;
  const state: StoreState = {
    nextSequence: row["next_sequence"] ?? 0,
    events: row["events"] ?? 0,
    bytes: row["bytes"] ?? 0,
  };
  const ends = connection
    .prepare("SELECT min(sequence) AS low, max(sequence) AS high FROM millrace_event")
    .get() as Record<string, number | null>;
  if ((ends["high"] ?? 0) >= state.nextSequence) {
    throw new SqliteProblem(
      "CHANNEL_CORRUPT",
      `${path} holds sequence ${ends["high"]}, and says that the next is ${state.nextSequence}`,
    );
  }
  const remove = connection.prepare(
    "DELETE FROM millrace_event WHERE sequence >= ? AND sequence < ?",
  );
  const update = connection.prepare(
    "UPDATE millrace_channel SET next_sequence = ?, events = ?, bytes = ?",
  );
  const select = connection.prepare(
    "SELECT sequence, put_time, checksum, event FROM millrace_event WHERE sequence >= ? AND sequence < ? ORDER BY sequence LIMIT ?",
  );
  const pageBytes = Number(pragma(connection, "page_size"));
  const freePages = connection.prepare("PRAGMA freelist_count");
  const insertOne = insertOf(connection, 1);
  const insertMany = insertOf(connection, rowsPerInsert);

  const apply = ({ removed, added, after }: PackedChange): void => {
    for (const { first, end } of removed) remove.run(first, end);
    if (added !== undefined) insertAll(added, insertOne, insertMany);
    update.run(after.nextSequence, after.events, after.bytes);
  };

  return {
    state,
    write(change) {
      try {
        connection.exec("BEGIN IMMEDIATE");
        apply(change);
        connection.exec("COMMIT");
      } catch (error) {
        rollBack(connection);
        throw problemOf(error, path, "write");
      }
    },
    read(request) {
      try {
        return readRows(select, request, path);
      } catch (error) {
        throw problemOf(error, path, "read");
      }
    },
    vacantBytes: () =>
      Number((freePages.get() as Record<string, number>)["freelist_count"]) * pageBytes,
    close: () => void connection.close(),
  };
}

function insertOf(connection: SqliteConnection, rows: number): SqliteStatement {
  const values = Array.from({ length: rows }, () => "(?, ?, ?, ?)").join(", ");
  return connection.prepare(
    `INSERT INTO millrace_event (sequence, put_time, checksum, event) VALUES ${values}`,
  );
}

function insertAll(
  added: NonNullable<PackedChange["added"]>,
  insertOne: SqliteStatement,
  insertMany: SqliteStatement,
): void {
  const { firstSequence, putTimeMs, offsets } = added;
  const slab = Buffer.from(added.slab.buffer, added.slab.byteOffset, added.slab.byteLength);
  const count = offsets.length - 1;
  for (let from = 0; from < count;) {
    const rows = count - from >= rowsPerInsert ? rowsPerInsert : 1;
    const values: SqliteValue[] = [];
    for (let i = from; i < from + rows; i++) {
      const sequence = firstSequence + i;
      const event = slab.subarray(offsets[i], offsets[i + 1]);
      values.push(sequence, putTimeMs, checksumOf(event, sequence), event);
    }
    (rows === 1 ? insertOne : insertMany).run(...values);
    from += rows;
  }
}

interface EventRow {
  readonly sequence: number;
  readonly put_time: number;
  readonly checksum: number;
  readonly event: Uint8Array;
}

function readRows(select: SqliteStatement, request: ReadRequest, path: string): PackedRows {
  const { from, below, eventsMax, bytesMax } = request;
  const rows: EventRow[] = [];
  let bytes = 0;
  for (const found of select.iterate(from, below, eventsMax)) {
    const row = found as EventRow;
    if (checksumOf(row.event, row.sequence) !== row.checksum) {
      if (rows.length > 0) break;
      throw new SqliteProblem(
        "CHANNEL_CORRUPT",
        `the event of sequence ${row.sequence} in ${path} does not verify: its bytes have changed since they were stored. To go on without it, stop the agent and run: sqlite3 ${path} 'DELETE FROM millrace_event WHERE sequence = ${row.sequence}'`,
      );
    }
    rows.push(row);
    bytes += row.event.length;
    if (bytes >= bytesMax) break;
  }
  return packRows(rows, bytes);
}

function packRows(rows: readonly EventRow[], bytes: number): PackedRows {
  const slab = new Uint8Array(bytes);
  const offsets = new Uint32Array(rows.length + 1);
  const sequences = new Float64Array(rows.length);
  const putTimesMs = new Float64Array(rows.length);
  let at = 0;
  for (const [i, row] of rows.entries()) {
    slab.set(row.event, at);
    at += row.event.length;
    offsets[i + 1] = at;
    sequences[i] = row.sequence;
    putTimesMs[i] = row.put_time;
  }
  return { slab, offsets, sequences, putTimesMs };
}

function rollBack(connection: SqliteConnection): void {
  try {
    connection.exec("ROLLBACK");
  } catch {
    // SQLite has rolled back by itself, or had not begun.
  }
}

function pragma(connection: SqliteConnection, name: string): unknown {
  return column(connection, `PRAGMA ${name}`, name);
}

function column(connection: SqliteConnection, sql: string, name: string): unknown {
  return (connection.prepare(sql).get() as Record<string, unknown> | undefined)?.[name];
}

/** The library's error as one of ours. */
export function problemOf(
  error: unknown,
  path: string,
  doing: "open" | "write" | "read",
): SqliteProblem {
  if (error instanceof SqliteProblem) return error;
  const text = error instanceof Error ? error.message : String(error);
  switch (sqliteCode(error)) {
    case "SQLITE_BUSY":
    case "SQLITE_LOCKED":
      return new SqliteProblem(
        "CHANNEL_LOCKED",
        `${path} is in use by another process, maybe another agent; a channel needs a file of its own`,
      );
    case "SQLITE_NOTADB":
    case "SQLITE_CORRUPT":
      return new SqliteProblem(
        "CHANNEL_CORRUPT",
        `${path} is damaged and was left as it is (${text}). Stop the agent and move the file and its -wal aside; sqlite3 <file> .recover reads what can be read`,
      );
    case "SQLITE_FULL":
      return new SqliteProblem(
        "DISK_FULL",
        `${path} cannot grow: the disk, or the file's limit, is full`,
      );
    case "SQLITE_IOERR_FSYNC":
      return new SqliteProblem("CHANNEL_FAILED", `${path} could not be synced: ${text}`);
    case "SQLITE_READONLY":
    case "SQLITE_CANTOPEN":
    case "SQLITE_PERM":
    case "SQLITE_AUTH":
      return new SqliteProblem(
        doing === "open" ? "PERMISSION_DENIED" : "WRITE_FAILED",
        `${path} cannot be opened for writing by this user: ${text}`,
      );
    default:
      if (doing === "write") return new SqliteProblem("WRITE_FAILED", `${path}: ${text}`);
      return new SqliteProblem("DATABASE_FAILED", `${path}: ${text}`);
  }
}
