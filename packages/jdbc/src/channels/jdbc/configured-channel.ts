import {
  type Channel,
  type ChannelContext,
  expandHome,
  fileExists,
  MillraceError,
} from "@millrace/core";
import { dirname, join } from "node:path";
import type { EventStore } from "./event-store.ts";
import { createJdbcChannel, type JdbcChannelOptions } from "./jdbc-channel.ts";
import { databaseOf, mergeDeprecated, type Options } from "./options.ts";
import { sqliteModules } from "./sqlite/sqlite-driver.ts";

const nameLengthMax = 64;
const ackMs = 100;
const openWaitMs = 30_000;

/** The channel as a configuration asks for it. */
export async function createConfiguredChannel(
  given: Options,
  context: ChannelContext,
): Promise<Channel> {
  if (context.name.length > nameLengthMax) {
    throw new MillraceError(
      "CONFIG_INVALID",
      `the name of a jdbc channel has at most ${nameLengthMax} characters: ${context.name}`,
    );
  }
  const { options } = mergeDeprecated(given);
  const limits: JdbcChannelOptions = {
    capacity: (options.capacity ?? 0) === 0 ? Infinity : (options.capacity as number),
    transactionCapacity: options.transactionCapacity,
    keepAliveMs: options.keepAliveSeconds * 1000,
    memoryBytes: options.memoryBytes,
    ackMs,
    openWaitMs,
  };
  return createJdbcChannel(limits, await createStore(options, context), context);
}

async function createStore(options: Options, context: ChannelContext): Promise<EventStore> {
  const database = databaseOf(options);
  const createsSchema = options.createSchema ?? true;
  if (database.kind === "postgresql") {
    const { createPostgresqlStore } = await import("./postgresql/postgresql-store.ts");
    const { connectionSettings } = await import("./postgresql/connection-settings.ts");
    return createPostgresqlStore({
      connection: await connectionSettings(database.url, options, context),
      channel: context.name,
      createsSchema,
      readsApart: (options.connectionsMax ?? 10) > 1,
      isolation: (options.isolation ?? "READ_COMMITTED").replace("_", " "),
      clock: context.runtime.clock,
      random: context.runtime.random,
      log: context.log,
    });
  }
  const { createSqliteStore } = await import("./sqlite/sqlite-store.ts");
  const home = options.systemProperties.get("user.home") ?? context.home;
  const path =
    database.path === undefined
      ? join(home, ".flume", "jdbc-channel", `${encodeURIComponent(context.name)}.sqlite`)
      : expandHome(database.path, home);
  if (database.path === undefined) await warnOfDerby(join(dirname(path), "db"), context);
  return createSqliteStore(
    {
      ...{ path, channel: context.name, createsSchema, modules: sqliteModules, pagesMax: 0 },
      minimumFreeBytes: options.minimumRequiredSpaceBytes,
    },
    context.runtime.files,
  );
}

/** Java Flume's default database, which nothing here can read. */
async function warnOfDerby(directory: string, { runtime, log }: ChannelContext): Promise<void> {
  if (!(await fileExists(runtime.files, join(directory, "service.properties")))) return;
  log.warn(
    `${directory} is a Derby database of Java Flume; it is neither read nor changed: drain it with Java Flume`,
  );
}
