import type { SqliteDatabase } from "./sqlite-database.ts";
import { openSqlite, problemOf, SqliteProblem } from "./sqlite-database.ts";
import { loadSqlite, type SqliteLibrary } from "./sqlite-driver.ts";
import type { SqliteReply, SqliteRequest } from "./sqlite-messages.ts";

/** Answers requests about one file, one after another. Never rejects: a failure is a reply. */
export function createSqliteService(): (request: SqliteRequest) => Promise<SqliteReply> {
  let database: SqliteDatabase | undefined;

  async function handle(request: SqliteRequest): Promise<SqliteReply> {
    const { id } = request;
    switch (request.kind) {
      case "open": {
        const { settings } = request;
        database = openSqlite(await library(settings.modules), settings);
        return { id, state: database.state, vacantBytes: database.vacantBytes() };
      }
      case "write":
        database?.write(request.change);
        return { id, vacantBytes: database?.vacantBytes() ?? 0 };
      case "read": {
        const rows = database?.read(request.request);
        return rows === undefined ? { id } : { id, rows };
      }
      case "close":
        database?.close();
        database = undefined;
        return { id };
    }
  }

  let line: Promise<unknown> = Promise.resolve();
  return (request) => {
    const reply = line
      .then(() => handle(request))
      .catch((error: unknown): SqliteReply => {
        const { code, message } = problemOf(error, "the database", "read");
        return { id: request.id, failure: { code, message } };
      });
    line = reply;
    return reply;
  };
}

async function library(modules: readonly string[]): Promise<SqliteLibrary> {
  try {
    return await loadSqlite(modules);
  } catch (error) {
    throw new SqliteProblem(
      "DATABASE_DRIVER_MISSING",
      `this Node, ${process.versions.node}, finds no SQLite (${(error as Error).message}). ` +
        "Run the agent on Node 22.13 or newer, which brings node:sqlite; or install better-sqlite3 " +
        "where it finds its binary or can build it (a C++ compiler, make and Python); or name a " +
        "PostgreSQL database in driver.url",
    );
  }
}
