import { type Clock, type Log, MillraceError, type Random } from "@millrace/core";
import type {
  EventStore,
  ReadRequest,
  StoreChange,
  StoredEvents,
  StoreState,
} from "../event-store.ts";
import { checksumOf, unpackRows } from "../packed-events.ts";
import type { ConnectionSettings } from "./connection-settings.ts";
import { isConflict, postgresqlError } from "./postgresql-errors.ts";
import { connectSession, type Row, type Session, type Statement } from "./session.ts";
import * as statements from "./statements.ts";

export interface PostgresqlSettings {
  readonly connection: ConnectionSettings;
  /** The channel's name: one owner each in a database and schema. */
  readonly channel: string;
  readonly createsSchema: boolean;
  /** Whether reads have a connection of their own. */
  readonly readsApart: boolean;
  /** As SQL writes it. */
  readonly isolation: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** How often a change that lost against another transaction is tried again before its puts are told. */
const attemptsMax = 5;

/** A channel's rows in a PostgreSQL database. */
export function createPostgresqlStore(settings: PostgresqlSettings): EventStore {
  return new PostgresqlStore(settings);
}

class PostgresqlStore implements EventStore {
  readonly place: string;
  readonly #settings: PostgresqlSettings;
  #writer: Session | undefined;
  #reader: Session | undefined;
  #id = 0;
  #owner: string | undefined;
  /** Those drawn since the last opening that succeeded, and that one's: the database has one of them. */
  #drawn: string[] = [];
  /** The server's process that held the lock last. */
  #lastPid = 0;

  constructor(settings: PostgresqlSettings) {
    this.#settings = settings;
    this.place = settings.connection.place;
  }

  async open(lost: (error: MillraceError) => void): Promise<StoreState> {
    await this.close();
    const { connection, clock, readsApart } = this.#settings;
    const tell = (error: MillraceError): void => {
      this.abandon();
      lost(error);
    };
    try {
      const writer = await connectSession(connection, clock, tell);
      this.#writer = writer;
      const state = await this.#takeRows(writer);
      this.#reader = writer;
      if (readsApart) {
        const reader = await connectSession(connection, clock, tell);
        this.#reader = reader;
        await reader.query({ text: statements.sessionSettings });
      }
      return state;
    } catch (error) {
      this.abandon();
      throw postgresqlError(error, this.place);
    }
  }

  async write(change: StoreChange): Promise<void> {
    const session = this.#writer;
    if (session === undefined || this.#owner === undefined) throw this.#notOpen();
    const statement = statements.changeRows(this.#id, this.#owner, change);
    const rows = await this.#ask(session, statement, attemptsMax);
    if (rows.length === 0) throw this.#taken();
  }

  async read(request: ReadRequest): Promise<readonly StoredEvents[]> {
    const session = this.#reader;
    if (session === undefined) throw this.#notOpen();
    const [row] = await this.#ask(session, statements.readRows(this.#id, request), attemptsMax);
    return row === undefined ? [] : this.#unpack(row);
  }

  async close(): Promise<void> {
    const sessions = new Set([this.#writer, this.#reader]);
    this.#writer = this.#reader = undefined;
    await Promise.all([...sessions].map((session) => session?.end()));
  }

  abandon(): void {
    this.#writer?.destroy();
    this.#reader?.destroy();
    this.#writer = this.#reader = undefined;
  }

  async #takeRows(session: Session): Promise<StoreState> {
    const { channel, isolation, random } = this.#settings;
    await session.query({ text: statements.sessionSettings });
    await this.#demandDurability(session);
    await this.#prepareTables(session);
    await session.query(statements.addChannel(channel));
    const [found] = await session.query(statements.findChannel(channel));
    const version = Number(found?.["version"]);
    if (version !== statements.schemaVersion) {
      throw new MillraceError(
        "CHANNEL_FORMAT",
        `${this.place} has version ${version} of the tables for ${channel}, this Millrace reads ${statements.schemaVersion}`,
      );
    }
    this.#id = Number(found?.["id"]);
    await this.#lock(session, found?.["owner"] ?? undefined);
    const owner = random.bytes(16).toString("hex");
    const before = [...this.#drawn];
    if (before.length > 0) this.#drawn.push(owner);
    const [row] = await session.query(statements.takeOver(this.#id, owner, before));
    if (row === undefined) throw this.#taken();
    this.#owner = owner;
    this.#drawn = [owner];
    this.#lastPid = session.pid;
    const state: StoreState = {
      nextSequence: Number(row["next_sequence"]),
      events: Number(row["events"]),
      bytes: Number(row["bytes"]),
    };
    const [ends] = await session.query(statements.highestSequence(this.#id));
    if (Number(ends?.["high"] ?? 0) >= state.nextSequence) {
      throw new MillraceError(
        "CHANNEL_CORRUPT",
        `${this.place} holds sequence ${ends?.["high"]} of ${channel}, and says that the next is ${state.nextSequence}`,
      );
    }
    await session.query({
      text: `SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL ${isolation}`,
    });
    return state;
  }

  /** What is committed is on disk, whatever the server's default is. */
  async #demandDurability(session: Session): Promise<void> {
    const [row] = await session.query({ text: statements.durabilitySettings });
    if (row?.["commit"] === "off") await session.query({ text: "SET synchronous_commit = on" });
    if (row?.["fsync"] === "off") {
      this.#settings.log.warn(
        `${this.place} runs with fsync = off: what it says is stored may be lost when its machine stops`,
      );
    }
  }

  async #prepareTables(session: Session): Promise<void> {
    const [row] = await session.query({ text: statements.tablesExist });
    if (row?.["found"] === "t") return;
    if (!this.#settings.createsSchema) {
      throw new MillraceError(
        "DATABASE_REFUSED",
        `${this.place} has no tables millrace_channel and millrace_event, and create.schema is false`,
      );
    }
    await session.query({ text: statements.createTables });
  }

  async #lock(session: Session, owner: string | undefined): Promise<void> {
    const [row] = await session.query(statements.tryLock(this.#id));
    if (row?.["locked"] === "t") return;
    const [holder] = await session.query(statements.lockHolder(this.#id));
    if (Number(holder?.["pid"]) === this.#lastPid && this.#drawn.includes(owner ?? "")) {
      // Our own session before: its connection broke, and the server has not noticed.
      await session.query({ text: "SELECT pg_terminate_backend($1)", values: [this.#lastPid] });
      await session.query(statements.awaitLock(this.#id));
      return;
    }
    const { channel } = this.#settings;
    const who = `"${holder?.["application_name"] ?? "?"}" at ${holder?.["client_addr"] ?? "the server's machine"}`;
    throw new MillraceError(
      "CHANNEL_LOCKED",
      `the channel ${channel} in ${this.place} belongs to another agent that runs: ${who}. Give each agent a name of its own for the channel, or a schema (currentSchema in driver.url)`,
    );
  }

  async #ask(session: Session, statement: Statement, attempts: number): Promise<readonly Row[]> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await session.query(statement);
      } catch (error) {
        if (attempt < attempts && isConflict(error)) continue;
        throw postgresqlError(error, this.place);
      }
    }
  }

  #unpack(row: Row): readonly StoredEvents[] {
    if (row["sequences"] === null) return [];
    const sequences = Float64Array.from(numbersOf(row["sequences"]));
    const putTimesMs = Float64Array.from(numbersOf(row["put_times"]));
    const checksums = numbersOf(row["checksums"]);
    const slab = Uint8Array.from(Buffer.from((row["events"] ?? "").slice(2), "hex"));
    const offsets = new Uint32Array(sequences.length + 1);
    for (const [i, length] of numbersOf(row["lengths"]).entries()) {
      const from = offsets[i] as number;
      const sequence = sequences[i] as number;
      offsets[i + 1] = from + length;
      if (checksumOf(slab.subarray(from, from + length), sequence) === checksums[i]) continue;
      if (i > 0) {
        const sound = { slab, offsets: offsets.slice(0, i + 1) };
        return unpackRows({ ...sound, sequences: sequences.slice(0, i), putTimesMs });
      }
      throw new MillraceError(
        "CHANNEL_CORRUPT",
        `the event of sequence ${sequence} of ${this.#settings.channel} in ${this.place} does not verify: its bytes have changed since they were stored. To go on without it, stop the agent and delete the row of channel ${this.#id} and sequence ${sequence} from millrace_event`,
      );
    }
    return unpackRows({ slab, offsets, sequences, putTimesMs });
  }

  #notOpen(): MillraceError {
    return new MillraceError("DATABASE_UNAVAILABLE", `${this.place} is not connected`);
  }

  #taken(): MillraceError {
    return new MillraceError(
      "CHANNEL_LOCKED",
      `another agent has taken the channel ${this.#settings.channel} in ${this.place}: what this one knows of it is out of date`,
    );
  }
}

function numbersOf(array: string | null | undefined): number[] {
  return (array ?? "{}").slice(1, -1).split(",").map(Number);
}
