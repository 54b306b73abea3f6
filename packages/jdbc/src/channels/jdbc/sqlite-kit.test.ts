/** What the tests of the channel over SQLite share. */
import {
  type Channel,
  type ChannelCounters,
  createChannelCounters,
  type FileSystem,
  systemRuntime,
} from "@millrace/core";
import {
  type CollectingLog,
  type CollectingMetrics,
  channelContext,
  createFakeClock,
  createSeededRandom,
  type FakeClock,
} from "@millrace/testing";
import { join } from "node:path";
import { createJdbcChannel, type JdbcChannelOptions } from "./jdbc-channel.ts";
import type { EventStore } from "./event-store.ts";
import type { SqliteSettings } from "./sqlite/sqlite-messages.ts";
import { createSqliteStore } from "./sqlite/sqlite-store.ts";
import { createSqliteService } from "./sqlite/sqlite-service.ts";
import { startWorker, type StartThread } from "./sqlite/sqlite-thread.ts";
import { loadSqlite, sqliteModules } from "./sqlite/sqlite-driver.ts";

export interface SqliteChannel {
  readonly channel: Channel;
  readonly store: EventStore;
  readonly clock: FakeClock;
  readonly counters: ChannelCounters;
  readonly log: CollectingLog;
  readonly metrics: CollectingMetrics;
  readonly path: string;
  /** As if its thread had died by itself; only where it is none. */
  killThread(reason: string): Promise<void>;
}

export interface Given extends Partial<JdbcChannelOptions> {
  readonly settings?: Partial<SqliteSettings>;
  readonly files?: Partial<FileSystem>;
  /** In a real thread of its own, which costs half a second to start from source. */
  readonly threaded?: true;
  /** Put around the store, to make it fail. */
  readonly wrap?: (store: EventStore) => EventStore;
}

export const limits: JdbcChannelOptions = {
  capacity: Infinity,
  transactionCapacity: 10_000,
  keepAliveMs: 3000,
  memoryBytes: 16_777_216,
  ackMs: 100,
  openWaitMs: 0,
};

/** A channel over a file of its own in the directory, which has not started. */
export function sqliteChannel(directory: string, given: Given = {}): SqliteChannel {
  const clock = createFakeClock();
  const counters = createChannelCounters();
  const runtime = { ...systemRuntime, clock, random: createSeededRandom(1) };
  const context = channelContext({ counters, runtime });
  const path = join(directory, "events.sqlite");
  const settings: SqliteSettings = {
    path,
    channel: "c1",
    createsSchema: true,
    modules: sqliteModules,
    pagesMax: 0,
    minimumFreeBytes: 0,
    ...given.settings,
  };
  const thread = inProcess();
  const store = createSqliteStore(
    settings,
    { ...runtime.files, ...given.files },
    given.threaded === true ? startWorker : thread.start,
  );
  const channel = createJdbcChannel({ ...limits, ...given }, given.wrap?.(store) ?? store, context);
  const { log, metrics } = context;
  return { channel, store, clock, counters, log, metrics, path, killThread: thread.kill };
}

/** The same answers without a thread. */
function inProcess(): { readonly start: StartThread; kill(reason: string): Promise<void> } {
  let kill: ((reason: string) => Promise<void>) | undefined;
  return {
    kill: async (reason) => kill?.(reason),
    start(hooks) {
      const answer = createSqliteService();
      let isEnded = false;
      const end = async (): Promise<void> => {
        isEnded = true;
        await answer({ id: 0, kind: "close" });
      };
      kill = async (reason) => {
        await end();
        hooks.gone(reason);
      };
      return {
        post(request) {
          // What has not been looked at yet dies with it.
          setImmediate(() => {
            if (isEnded) return;
            void answer(request).then((reply) => {
              if (!isEnded) setImmediate(() => hooks.answered(reply));
            });
          });
        },
        keepProcess() {},
        end,
      };
    },
  };
}

/** Which of the libraries this Node can load. */
export async function loadableModules(): Promise<readonly string[]> {
  const loadable: string[] = [];
  for (const name of sqliteModules) {
    const library = await loadSqlite([name]).catch(() => undefined);
    if (library !== undefined) loadable.push(name);
  }
  return loadable;
}
