/** What a channel keeps while the server dies, restarts, or loses its connections. */
import { MillraceError } from "@millrace/core";
import {
  createTcpProxy,
  numberedBatch,
  numbers,
  numbersOf,
  type TcpProxy,
  waitFor,
  within,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { after, test, type TestContext } from "node:test";
import { findPostgres } from "./harness/postgres-binaries.ts";
import { type Given, postgresChannel, type PostgresChannel } from "./harness/postgres-channel.ts";
import { createPostgresServer, type PostgresServer } from "./harness/postgres-server.ts";

const never = new AbortController().signal;
const patienceMs = 60_000;
const found = findPostgres();

if ("skip" in found) {
  test("PostgreSQL dies, restarts and loses connections", (t) => t.skip(found.skip));
} else {
  // Off, so that only what the channel itself asks for makes a commit wait for the disk.
  const settings = ["synchronous_commit=off", "wal_writer_delay=10s", "deadlock_timeout=200ms"];
  const server = await createPostgresServer(found.folder);
  await server.start(settings);
  after(() => server.stop());
  faultTests(server, settings);
}

async function started(
  t: TestContext,
  server: PostgresServer,
  given: Given = {},
): Promise<PostgresChannel> {
  const made = await postgresChannel(server, given);
  await within("start", made.channel.start(never), patienceMs);
  t.after(() => made.channel.stop(AbortSignal.abort()));
  return made;
}

async function put(made: PostgresChannel, from: number, to: number): Promise<void> {
  const transaction = await made.channel.beginPut(numberedBatch(from, to));
  await within(`the put of ${from}`, transaction.commit(), patienceMs);
}

async function takeNumbers(made: PostgresChannel, count: number): Promise<number[]> {
  const taken: number[] = [];
  while (taken.length < count) {
    const take = await within("a take", made.channel.beginTake(count - taken.length), patienceMs);
    await take.commit();
    if (take.batch.length === 0) break;
    taken.push(...numbersOf(take.batch));
  }
  return taken;
}

async function proxied(t: TestContext, server: PostgresServer): Promise<TcpProxy> {
  const proxy = await createTcpProxy({ host: "127.0.0.1", port: server.port });
  t.after(() => proxy.close());
  return proxy;
}

function codeOf(error: unknown): string {
  return error instanceof MillraceError ? error.code : String(error);
}

/** Puts batches one after another, each again until it is stored; takes and settles beside it. */
function startTraffic(made: PostgresChannel): {
  readonly arrived: number[];
  readonly refusals: string[];
  stored(): number;
  stop(): Promise<void>;
} {
  const arrived: number[] = [];
  const refusals: string[] = [];
  let next = 1;
  let isStopping = false;
  const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));
  const putAll = async (): Promise<void> => {
    while (!isStopping) {
      const to = next + 9;
      try {
        await put(made, next, to);
        next = to + 1;
      } catch (error) {
        refusals.push(codeOf(error));
        await pause();
      }
    }
  };
  const takeAll = async (): Promise<void> => {
    while (!isStopping || made.channel.size > 0) {
      const take = await made.channel.beginTake(37);
      const lent = numbersOf(take.batch);
      // Now and then a part goes back.
      const cut = lent.length % 3 === 0 ? lent.length >> 1 : lent.length;
      if (cut > 0) await take.commit([{ from: 0, to: cut }]);
      else await take.commit([]);
      arrived.push(...lent.slice(0, cut));
      await pause();
    }
  };
  const running = Promise.all([putAll(), takeAll()]);
  return {
    arrived,
    refusals,
    stored: () => next - 1,
    async stop() {
      isStopping = true;
      await within("the traffic to end", running, patienceMs);
    },
  };
}

function faultTests(server: PostgresServer, settings: readonly string[]): void {
  test("a server that is killed and restarted under puts and takes loses nothing and repeats nothing [lost: jdbc-postgresql | store dies | nothing]", async (t) => {
    const made = await started(t, server);
    const traffic = startTraffic(made);
    for (let round = 0; round < 4; round++) {
      const before = traffic.stored();
      await waitFor("traffic", () => traffic.stored() > before + 200, patienceMs);
      await (round % 2 === 0 ? server.kill() : server.stop());
      await waitFor("a refused put", () => made.channel.trouble !== undefined, patienceMs);
      assert.equal(made.channel.trouble?.code, "DATABASE_UNAVAILABLE");
      await server.start(settings);
      await waitFor("the channel to be back", () => made.channel.trouble === undefined, patienceMs);
    }
    await waitFor("more traffic", () => traffic.stored() > 1200, patienceMs);
    await traffic.stop();
    assert.deepEqual(traffic.arrived, numbers(1, traffic.stored()));
    assert.ok(traffic.refusals.length >= 4, `${traffic.refusals.length} puts were refused`);
    assert.ok(traffic.refusals.every((code) => code === "DATABASE_UNAVAILABLE"));
    assert.ok(
      (made.metrics.value("millrace_jdbc_channel_errors_total", { kind: "lost" }) ?? 0) >= 4,
    );
    await made.channel.stop(never);
    const again = await started(t, server, { name: made.name });
    assert.equal(again.channel.size, 0, "all that was settled is deleted");
  });

  test("what a put resolved for is on the server's disk although its default is not to wait for it", async (t) => {
    const made = await started(t, server);
    await put(made, 1, 1000);
    await server.kill();
    made.store.abandon();
    await made.channel.stop(AbortSignal.abort());
    await server.start(settings);
    const again = await started(t, server, { name: made.name });
    assert.deepEqual(await takeNumbers(again, 1000), numbers(1, 1000));
  });

  test("connections that are cut again and again lose nothing and repeat nothing", async (t) => {
    const proxy = await proxied(t, server);
    const made = await started(t, server, { port: proxy.port });
    const traffic = startTraffic(made);
    let cut = 0;
    for (let round = 0; round < 10; round++) {
      const before = traffic.stored();
      await waitFor("traffic", () => traffic.stored() > before + 50, patienceMs);
      cut += proxy.cut();
      await waitFor("the channel to be back", () => made.channel.trouble === undefined, patienceMs);
    }
    await traffic.stop();
    assert.ok(cut >= 10, `${cut} connections were cut`);
    assert.deepEqual(traffic.arrived, numbers(1, traffic.stored()));
  });

  test("a put whose reply was lost is told so, and its rows are gone before it is tried again", async (t) => {
    const proxy = await proxied(t, server);
    const made = await started(t, server, { port: proxy.port, readsApart: false });
    await put(made, 1, 5);
    await proxy.setMode("swallow-replies");
    const doubtful = await made.channel.beginPut(numberedBatch(6, 10));
    const failure = doubtful.commit().catch((error: unknown) => codeOf(error));
    const stored = async (): Promise<boolean> => {
      const rows = await server.query(
        `SELECT count(*) FROM millrace_event JOIN millrace_channel ON id = channel WHERE name = '${made.name}'`,
      );
      return rows[0]?.["count"] === "10";
    };
    await waitFor("the rows to be stored all the same", stored, patienceMs);
    await proxy.setMode("pass");
    assert.equal(await within("the commit", failure), "DATABASE_UNAVAILABLE");
    await waitFor("the channel to be back", () => made.channel.trouble === undefined, patienceMs);
    assert.equal(made.channel.size, 5);
    await put(made, 6, 10);
    assert.deepEqual(await takeNumbers(made, 10), numbers(1, 10));
    await made.channel.stop(never);
    const again = await started(t, server, { name: made.name });
    assert.equal(again.channel.size, 0);
  });

  test("a session that the server has not noticed to be dead is ended, and what it had under way is not stored", async (t) => {
    const made = await started(t, server, { readsApart: false, answerMs: 500 });
    await put(made, 1, 5);
    const [row] = await server.query(
      `SELECT pid FROM pg_stat_activity WHERE application_name = 'millrace a1 ${made.name}'`,
    );
    const pid = Number(row?.["pid"]);
    process.kill(pid, "SIGSTOP");
    const doubtful = await made.channel.beginPut(numberedBatch(6, 10));
    await assert.rejects(within("the commit", doubtful.commit()), { code: "DATABASE_UNAVAILABLE" });
    const isAsked = async (): Promise<boolean> =>
      (
        await server.query(
          "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_advisory_lock%' AND wait_event_type = 'Lock'",
        )
      ).length > 0;
    await waitFor("the new session to wait for the lock", isAsked, patienceMs);
    process.kill(pid, "SIGCONT");
    await waitFor("the channel to be back", () => made.channel.trouble === undefined, patienceMs);
    await put(made, 11, 12);
    assert.deepEqual(await takeNumbers(made, 7), [...numbers(1, 5), 11, 12]);
  });

  test("a database whose bytea_output is escape gives back what was put", async (t) => {
    await server.query("ALTER DATABASE millrace SET bytea_output = escape");
    try {
      const made = await started(t, server, { memoryBytes: 0 });
      await put(made, 1, 5);
      assert.deepEqual(await takeNumbers(made, 5), numbers(1, 5));
    } finally {
      await server.query("ALTER DATABASE millrace RESET bytea_output");
    }
  });

  test("serialization failures and deadlocks are tried again and stay unseen", async (t) => {
    const made = await started(t, server, { isolation: "SERIALIZABLE", ackMs: 1e9 });
    await put(made, 1, 3);
    const other = await server.session();
    t.after(() => other.end());
    await other.query("BEGIN");
    await other.query(`UPDATE millrace_channel SET owner = owner WHERE name = '${made.name}'`);
    const waiting = put(made, 4, 6);
    await waitForLock(server);
    await other.query("COMMIT");
    await waiting;
    assert.match(server.output(), /could not serialize access/);

    assert.deepEqual(await takeNumbers(made, 3), [1, 2, 3]);
    await other.query("BEGIN");
    await other.query(
      `SELECT 1 FROM millrace_event JOIN millrace_channel ON id = channel WHERE name = '${made.name}' ORDER BY sequence LIMIT 1 FOR UPDATE OF millrace_event`,
    );
    const deleting = put(made, 7, 9);
    await waitForLock(server);
    await other.query(`UPDATE millrace_channel SET owner = owner WHERE name = '${made.name}'`);
    await other.query("COMMIT");
    await deleting;
    assert.match(server.output(), /deadlock detected/);
    assert.deepEqual(await takeNumbers(made, 6), numbers(4, 9));
  });

  test("a channel left without its stop gives again what was not settled, in order", async (t) => {
    const made = await started(t, server, { ackMs: 1 });
    await put(made, 1, 10);
    const take = await made.channel.beginTake(6);
    await take.commit([{ from: 1, to: 3 }]);
    await waitFor("the settled rows to go", async () => {
      const rows = await server.query(
        `SELECT sequence FROM millrace_event JOIN millrace_channel ON id = channel WHERE name = '${made.name}'`,
      );
      return rows.length === 8;
    });
    made.store.abandon();
    const again = await started(t, server, { name: made.name, openWaitMs: 30_000 });
    assert.equal(again.channel.size, 8);
    assert.deepEqual(await takeNumbers(again, 8), [1, ...numbers(4, 10)]);
  });

  test("an orderly stop and start loses nothing and repeats nothing [lost: jdbc-postgresql | agent stops | nothing]", async (t) => {
    const made = await started(t, server);
    await put(made, 1, 1000);
    assert.equal((await takeNumbers(made, 300)).length >= 300, true);
    const left = made.channel.size;
    await made.channel.stop(never);
    const again = await started(t, server, { name: made.name });
    assert.equal(again.channel.size, left);
    assert.deepEqual(await takeNumbers(again, left), numbers(1001 - left, 1000));
  });

  test("a server that says its disk is full refuses puts, and delivered rows still go [lost: jdbc-postgresql | disk full | nothing]", async (t) => {
    const made = await started(t, server, { ackMs: 1 });
    await put(made, 1, 5);
    await server.query(`
      CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$`);
    await server.query(
      "CREATE TRIGGER full_disk BEFORE INSERT ON millrace_event EXECUTE FUNCTION full_disk()",
    );
    t.after(() => server.query("DROP FUNCTION IF EXISTS full_disk CASCADE").catch(() => undefined));
    await assert.rejects(put(made, 6, 10), { code: "DISK_FULL" });
    assert.equal(made.channel.size, 5);
    assert.deepEqual(await takeNumbers(made, 5), numbers(1, 5));
    await waitFor("the delivered rows to go", async () => {
      const rows = await server.query(
        `SELECT sequence FROM millrace_event JOIN millrace_channel ON id = channel WHERE name = '${made.name}'`,
      );
      return rows.length === 0;
    });
    await server.query("DROP FUNCTION full_disk CASCADE");
    await put(made, 6, 10);
    assert.deepEqual(await takeNumbers(made, 5), numbers(6, 10));
  });

  test("an event whose bytes have changed is not given: takes end with CHANNEL_CORRUPT [lost: jdbc-postgresql | bytes damaged | nothing else; takes stop there]", async (t) => {
    const made = await started(t, server);
    await put(made, 1, 10);
    await made.channel.stop(never);
    await server.query(
      `UPDATE millrace_event SET event = set_byte(event, 3, get_byte(event, 3) # 4) WHERE sequence = 5 AND channel = (SELECT id FROM millrace_channel WHERE name = '${made.name}')`,
    );
    const again = await started(t, server, { name: made.name });
    assert.deepEqual(await takeNumbers(again, 4), [1, 2, 3, 4]);
    await assert.rejects(
      within("the take", again.channel.beginTake(10)),
      (error) => codeOf(error) === "CHANNEL_CORRUPT" && /sequence 5 of /.test(String(error)),
    );
    assert.equal(again.channel.trouble?.code, "CHANNEL_CORRUPT");
    await put(again, 11, 12);
    await again.channel.stop(never);
    await server.query(
      `DELETE FROM millrace_event WHERE sequence = 5 AND channel = (SELECT id FROM millrace_channel WHERE name = '${made.name}')`,
    );
    const mended = await started(t, server, { name: made.name });
    assert.deepEqual(await takeNumbers(mended, 7), numbers(6, 12));
    await waitFor("the missing row to be noticed", () => mended.channel.size === 0);
    assert.equal(
      mended.metrics.value("millrace_events_discarded_total", {
        reason: "missing_row",
        intended: "false",
      }),
      1,
    );
  });
}

async function waitForLock(server: PostgresServer): Promise<void> {
  const waits = async (): Promise<boolean> =>
    (
      await server.query(
        "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name LIKE 'millrace%'",
      )
    ).length > 0;
  await waitFor("the channel to wait for a lock", waits, patienceMs);
}
