import {
  type Channel,
  type ChannelCounters,
  createChannelCounters,
  type Runtime,
  systemRuntime,
} from "@millrace/core";
import {
  type CollectingLog,
  type CollectingMetrics,
  channelContext,
  createFakeClock,
  type FakeClock,
  optionsOf,
} from "@millrace/testing";
import type { EventStore } from "../../../packages/jdbc/src/channels/jdbc/event-store.ts";
import {
  createJdbcChannel,
  type JdbcChannelOptions,
} from "../../../packages/jdbc/src/channels/jdbc/jdbc-channel.ts";
import { options } from "../../../packages/jdbc/src/channels/jdbc/options.ts";
import { connectionSettings } from "../../../packages/jdbc/src/channels/jdbc/postgresql/connection-settings.ts";
import { createPostgresqlStore } from "../../../packages/jdbc/src/channels/jdbc/postgresql/postgresql-store.ts";
import type { PostgresServer } from "./postgres-server.ts";

export interface PostgresChannel {
  readonly name: string;
  readonly channel: Channel;
  readonly store: EventStore;
  readonly counters: ChannelCounters;
  readonly log: CollectingLog;
  readonly metrics: CollectingMetrics;
}

export interface Given extends Partial<JdbcChannelOptions> {
  /** A new one when left out. */
  readonly name?: string;
  readonly properties?: Record<string, string>;
  readonly runtime?: Runtime;
  readonly readsApart?: boolean;
  readonly isolation?: string;
  /** The URL's, without the question mark. */
  readonly parameters?: string;
  /** How long a statement may take. */
  readonly answerMs?: number;
  /** Instead of the server's own port. */
  readonly port?: number;
  readonly wrap?: (store: EventStore) => EventStore;
}

let names = 0;

/** A channel over rows of its own, which has not started. */
export async function postgresChannel(
  server: PostgresServer,
  given: Given = {},
): Promise<PostgresChannel> {
  const name = given.name ?? `c${++names}`;
  const counters = createChannelCounters();
  const runtime = given.runtime ?? systemRuntime;
  const context = channelContext({ name, counters, runtime });
  const address = server.url.replace(`:${server.port}`, `:${given.port ?? server.port}`);
  const url = given.parameters === undefined ? address : `${address}?${given.parameters}`;
  const connection = await connectionSettings(
    url,
    optionsOf(options, {
      "db.username": server.user,
      "db.password": server.password,
      ...given.properties,
    }),
    context,
  );
  const store = createPostgresqlStore({
    connection: { ...connection, answerMs: given.answerMs ?? connection.answerMs },
    channel: name,
    createsSchema: true,
    readsApart: given.readsApart ?? true,
    isolation: given.isolation ?? "READ COMMITTED",
    clock: runtime.clock,
    random: runtime.random,
    log: context.log,
  });
  const limits: JdbcChannelOptions = {
    capacity: Infinity,
    transactionCapacity: 10_000,
    keepAliveMs: 3000,
    memoryBytes: 16_777_216,
    ackMs: 100,
    openWaitMs: 0,
  };
  const channel = createJdbcChannel({ ...limits, ...given }, given.wrap?.(store) ?? store, context);
  const { log, metrics } = context;
  return { name, channel, store, counters, log, metrics };
}

/** The same on a clock that stands still. */
export async function channelOnFakeClock(
  server: PostgresServer,
  given: Given = {},
): Promise<PostgresChannel & { readonly clock: FakeClock }> {
  const clock = createFakeClock();
  const made = await postgresChannel(server, { ...given, runtime: { ...systemRuntime, clock } });
  return { ...made, clock };
}
