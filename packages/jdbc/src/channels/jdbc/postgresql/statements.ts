/**
 *   millrace_channel   id (the key), name, version, owner, next_sequence, events, bytes
 *   millrace_event     channel, sequence (the key), put_time (ms since 1970), checksum, event (Avro bytes)
 *
 * A channel is locked by an advisory lock of its owner's session, which ends with it. `owner` is drawn
 * at every opening: a change names it, so that one which is still on its way from an earlier opening
 * finds another owner and changes nothing.
 */
import type { ReadRequest, StoreChange } from "../event-store.ts";
import { checksumOf, packEvents } from "../packed-events.ts";
import type { Statement } from "./session.ts";

export const schemaVersion = 1;

/** Any number: two agents create the tables one after another. */
const creationLock = 7_290_441_027;

export const tablesExist =
  "SELECT to_regclass('millrace_channel') IS NOT NULL AND to_regclass('millrace_event') IS NOT NULL AS found";

/** Bytes are not compressed: that costs more than it saves on what is soon deleted. */
export const createTables = `
  SELECT pg_advisory_xact_lock(${creationLock});
  CREATE TABLE IF NOT EXISTS millrace_channel (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE,
    version integer NOT NULL, owner text,
    next_sequence bigint NOT NULL, events bigint NOT NULL, bytes bigint NOT NULL);
  CREATE TABLE IF NOT EXISTS millrace_event (
    channel integer NOT NULL, sequence bigint NOT NULL, put_time bigint NOT NULL,
    checksum bigint NOT NULL, event bytea NOT NULL, PRIMARY KEY (channel, sequence));
  ALTER TABLE millrace_event ALTER COLUMN event SET STORAGE EXTERNAL`;

/**
 * Statistics of a table that fills and empties are never right: the keys are always the way. Bytes come
 * in hex, whatever the database's default is. A holder whose machine is gone keeps the lock until the
 * server's TCP notices.
 */
export const sessionSettings = `
  SELECT set_config(given.name, given.value, false)
  FROM (VALUES ('enable_seqscan', 'off'), ('bytea_output', 'hex'), ('tcp_keepalives_idle', '30'),
    ('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '3')) AS given (name, value)
  JOIN pg_settings ON pg_settings.name = given.name`;

export const durabilitySettings =
  "SELECT current_setting('synchronous_commit') AS commit, current_setting('fsync') AS fsync";

export function addChannel(name: string): Statement {
  return {
    text: `INSERT INTO millrace_channel (name, version, next_sequence, events, bytes)
      VALUES ($1, ${schemaVersion}, 1, 0, 0) ON CONFLICT (name) DO NOTHING`,
    values: [name],
  };
}

export function findChannel(name: string): Statement {
  return {
    text: "SELECT id, version, owner FROM millrace_channel WHERE name = $1",
    values: [name],
  };
}

const lockKey = "('millrace_channel'::regclass::oid::bigint << 32) | $1::bigint";

export function tryLock(channel: number): Statement {
  return { text: `SELECT pg_try_advisory_lock(${lockKey}) AS locked`, values: [channel] };
}

export function awaitLock(channel: number): Statement {
  return { text: `SELECT pg_advisory_lock(${lockKey})`, values: [channel] };
}

export function lockHolder(channel: number): Statement {
  return {
    text: `SELECT l.pid, a.application_name, a.client_addr FROM pg_locks l
      LEFT JOIN pg_stat_activity a ON a.pid = l.pid
      WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
        AND l.classid = 'millrace_channel'::regclass::oid AND l.objid = $1::bigint::oid
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    values: [channel],
  };
}

/**
 * Waits for a change that is under way, and keeps later ones of that owner out. Finds no row when the
 * owner is none of those before; with none before, any owner is succeeded.
 */
export function takeOver(channel: number, owner: string, before: readonly string[]): Statement {
  return {
    text: `UPDATE millrace_channel SET owner = $2
      WHERE id = $1 AND ($3::text[] = '{}' OR owner = ANY ($3::text[]))
      RETURNING next_sequence, events, bytes`,
    values: [channel, owner, `{${before.join(",")}}`],
  };
}

export function highestSequence(channel: number): Statement {
  return {
    text: "SELECT max(sequence) AS high FROM millrace_event WHERE channel = $1",
    values: [channel],
  };
}

/** One statement, so one transaction in one round trip. Says whether the owner still is the owner. */
export function changeRows(channel: number, owner: string, change: StoreChange): Statement {
  const { removed, added, after } = change;
  const owned = `WITH owned AS (
      UPDATE millrace_channel SET next_sequence = $3, events = $4, bytes = $5
      WHERE id = $1 AND owner = $2 RETURNING id
    ), removed AS (
      DELETE FROM millrace_event AS e
      USING owned, unnest($6::bigint[], $7::bigint[]) AS gone (first, after)
      WHERE e.channel = $1 AND e.sequence >= gone.first AND e.sequence < gone.after
    )`;
  const values = [
    ...[channel, owner, after.nextSequence, after.events, after.bytes],
    arrayOf(removed.map(({ first }) => first)),
    arrayOf(removed.map(({ end }) => end)),
  ];
  if (added === undefined) {
    return { name: "millrace-remove", text: `${owned} SELECT id FROM owned`, values };
  }
  const { slab, offsets } = packEvents(added.batch);
  const starts: number[] = [];
  const lengths: number[] = [];
  const checksums: number[] = [];
  for (let i = 0; i < added.batch.length; i++) {
    const from = offsets[i] as number;
    const to = offsets[i + 1] as number;
    starts.push(from + 1);
    lengths.push(to - from);
    checksums.push(checksumOf(slab.subarray(from, to), added.firstSequence + i));
  }
  return {
    name: "millrace-change",
    text: `${owned}, added AS (
        INSERT INTO millrace_event (channel, sequence, put_time, checksum, event)
        SELECT $1, $8::bigint + e.position - 1, $9, e.checksum, substring($10::bytea FROM e.start FOR e.length)
        FROM owned, unnest($11::integer[], $12::integer[], $13::bigint[])
          WITH ORDINALITY AS e (start, length, checksum, position)
      ) SELECT id FROM owned`,
    values: [
      ...values,
      ...[added.firstSequence, added.putTimeMs, slab],
      ...[arrayOf(starts), arrayOf(lengths), arrayOf(checksums)],
    ],
  };
}

/** One row: everything found, each column gathered. A row is read when the bytes before it are under the limit. */
export function readRows(channel: number, request: ReadRequest): Statement {
  const { from, below, eventsMax, bytesMax } = request;
  return {
    name: "millrace-read",
    text: `
      SELECT array_agg(sequence ORDER BY sequence) AS sequences,
        array_agg(put_time ORDER BY sequence) AS put_times,
        array_agg(checksum ORDER BY sequence) AS checksums,
        array_agg(length ORDER BY sequence) AS lengths,
        string_agg(event, ''::bytea ORDER BY sequence) AS events
      FROM (
        SELECT *, octet_length(event) AS length,
          sum(octet_length(event)) OVER (ORDER BY sequence) - octet_length(event) AS before
        FROM (
          SELECT sequence, put_time, checksum, event FROM millrace_event
          WHERE channel = $1 AND sequence >= $2 AND sequence < $3 ORDER BY sequence LIMIT $4
        ) AS next
      ) AS measured
      WHERE before < $5`,
    values: [channel, from, below, eventsMax, bytesMax],
  };
}

function arrayOf(numbers: readonly number[]): string {
  return `{${numbers.join(",")}}`;
}
