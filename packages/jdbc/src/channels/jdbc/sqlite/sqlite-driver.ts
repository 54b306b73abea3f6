/** What the channel uses of an SQLite library: what node:sqlite and better-sqlite3 have in common. */
export interface SqliteLibrary {
  readonly name: string;
  open(path: string): SqliteConnection;
}

export interface SqliteConnection {
  exec(sql: string): unknown;
  prepare(sql: string): SqliteStatement;
  close(): unknown;
}

export type SqliteValue = number | string | Uint8Array;

export interface SqliteStatement {
  run(...values: SqliteValue[]): unknown;
  /** The first row, by column name; undefined when there is none. */
  get(...values: SqliteValue[]): unknown;
  iterate(...values: SqliteValue[]): Iterable<unknown>;
}

/** Modules that may be there, the better one first. */
export const sqliteModules: readonly string[] = ["node:sqlite", "better-sqlite3"];

interface NodeSqlite {
  readonly DatabaseSync: new (path: string) => SqliteConnection;
}
interface BetterSqlite3 {
  readonly default: new (path: string, options: { timeout: number }) => SqliteConnection;
}

/**
 * The first library that can be loaded: Node's own, which 22.13 and later have without a flag, or
 * better-sqlite3, whose binary part may be missing. Throws an error that says why none can be.
 */
export async function loadSqlite(
  modules: readonly string[],
  load: (name: string) => Promise<unknown> = (name) => import(name),
): Promise<SqliteLibrary> {
  const reasons: string[] = [];
  for (const name of modules) {
    try {
      const library = libraryOf(name, await load(name));
      // The binary part of better-sqlite3 is loaded by its first database.
      library.open(":memory:").close();
      return library;
    } catch (error) {
      const [reason = ""] = (error instanceof Error ? error.message : String(error)).split("\n");
      reasons.push(`${name}: ${reason}`);
    }
  }
  throw new Error(reasons.join("; "));
}

function libraryOf(name: string, loaded: unknown): SqliteLibrary {
  if (name === "node:sqlite") {
    const { DatabaseSync } = loaded as NodeSqlite;
    return { name, open: (path) => new DatabaseSync(path) };
  }
  const { default: Database } = loaded as BetterSqlite3;
  return { name, open: (path) => new Database(path, { timeout: 0 }) };
}

/** The primary result code of an error of either library, such as "SQLITE_FULL"; "" for others. */
export function sqliteCode(error: unknown): string {
  if (!(error instanceof Error)) return "";
  if ("errcode" in error && typeof error.errcode === "number") {
    const fsync = error.errcode === 1034 || error.errcode === 1290;
    return fsync ? "SQLITE_IOERR_FSYNC" : (resultCodes[error.errcode & 0xff] ?? "SQLITE_ERROR");
  }
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  if (code === "SQLITE_IOERR_FSYNC" || code === "SQLITE_IOERR_DIR_FSYNC") {
    return "SQLITE_IOERR_FSYNC";
  }
  return /^SQLITE_[A-Z]+/.exec(code)?.[0] ?? "";
}

/** From sqlite3.h, those that are told apart. */
const resultCodes: Readonly<Record<number, string>> = {
  3: "SQLITE_PERM",
  5: "SQLITE_BUSY",
  6: "SQLITE_LOCKED",
  8: "SQLITE_READONLY",
  10: "SQLITE_IOERR",
  11: "SQLITE_CORRUPT",
  13: "SQLITE_FULL",
  14: "SQLITE_CANTOPEN",
  18: "SQLITE_TOOBIG",
  23: "SQLITE_AUTH",
  26: "SQLITE_NOTADB",
};
