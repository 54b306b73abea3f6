/** Who may open a channel in PostgreSQL, and how it is found. */
import { systemRuntime } from "@millrace/core";
import {
  channelContext,
  createTcpProxy,
  createTestAuthority,
  numberedBatch,
  numbers,
  numbersOf,
  optionsOf,
  tempDirectory,
  waitFor,
  within,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test, type TestContext } from "node:test";
import { channel as definition } from "../../packages/jdbc/src/channels/jdbc/index.ts";
import { options } from "../../packages/jdbc/src/channels/jdbc/options.ts";
import { findPostgres } from "./harness/postgres-binaries.ts";
import { type Given, postgresChannel, type PostgresChannel } from "./harness/postgres-channel.ts";
import { createPostgresServer, type PostgresServer } from "./harness/postgres-server.ts";

const never = new AbortController().signal;
const patienceMs = 60_000;
const found = findPostgres();

if ("skip" in found) {
  test("a channel in PostgreSQL is locked, and found by its URL", (t) => t.skip(found.skip));
} else {
  const server = await createPostgresServer(found.folder);
  await server.start();
  after(() => server.stop());
  openingTests(server);
}

async function made(
  t: TestContext,
  server: PostgresServer,
  given: Given = {},
): Promise<PostgresChannel> {
  const one = await postgresChannel(server, given);
  t.after(() => one.channel.stop(AbortSignal.abort()));
  return one;
}

const start = ({ channel }: PostgresChannel): Promise<void> =>
  within("start", channel.start(never), patienceMs);

async function put(one: PostgresChannel, from: number, to: number): Promise<void> {
  const transaction = await one.channel.beginPut(numberedBatch(from, to));
  await within("commit", transaction.commit(), patienceMs);
}

function openingTests(server: PostgresServer): void {
  test("a channel that another agent has open is CHANNEL_LOCKED, and says by whom", async (t) => {
    const first = await made(t, server);
    await start(first);
    const second = await made(t, server, { name: first.name });
    await assert.rejects(start(second), (error: Error & { code?: string }) => {
      assert.equal(error.code, "CHANNEL_LOCKED");
      assert.match(error.message, new RegExp(`"millrace a1 ${first.name}" at 127.0.0.1`));
      assert.match(error.message, /currentSchema/);
      return true;
    });
    await put(first, 1, 3);
    assert.equal(first.channel.size, 3);
  });

  test("a start waits for a predecessor that still drains", async (t) => {
    const first = await made(t, server);
    await start(first);
    await put(first, 1, 3);
    const second = await made(t, server, { name: first.name, openWaitMs: patienceMs });
    const starting = start(second);
    await waitFor("the second to wait", () =>
      second.log.lines.some(({ message }) =>
        /waiting for .*belongs to another agent/.test(message),
      ),
    );
    await first.channel.stop(never);
    await starting;
    assert.equal(second.channel.size, 3);
  });

  test("a schema of its own holds a channel of the same name apart", async (t) => {
    await server.query("CREATE SCHEMA other");
    const first = await made(t, server);
    await start(first);
    await put(first, 1, 3);
    const file = join(await tempDirectory(t), "jdbc.properties");
    await writeFile(file, "currentSchema = other\n");
    const second = await made(t, server, {
      name: first.name,
      properties: { "connection.properties.file": file },
    });
    await start(second);
    assert.equal(second.channel.size, 0);
    assert.equal((await server.query("SELECT * FROM other.millrace_channel")).length, 1);
  });

  test("an agent whose rows another has taken meanwhile stops: CHANNEL_LOCKED", async (t) => {
    const proxy = await createTcpProxy({ host: "127.0.0.1", port: server.port });
    t.after(() => proxy.close());
    const first = await made(t, server, { port: proxy.port });
    await start(first);
    await put(first, 1, 3);
    await proxy.setMode("refuse");
    proxy.cut();
    const second = await made(t, server, { name: first.name, openWaitMs: patienceMs });
    await start(second);
    const take = await within("take", second.channel.beginTake(10));
    assert.deepEqual(numbersOf(take.batch), numbers(1, 3));
    await take.commit();
    await second.channel.stop(never);
    await proxy.setMode("pass");
    await waitFor(
      "the first to notice",
      () => first.channel.trouble?.code === "CHANNEL_LOCKED",
      patienceMs,
    );
    await assert.rejects(first.channel.beginPut(numberedBatch(4, 4)), { code: "CHANNEL_LOCKED" });
    await assert.rejects(first.channel.beginTake(1), { code: "CHANNEL_LOCKED" });
  });

  test("a server that is not there yet is waited for", async (t) => {
    await server.stop();
    const one = await made(t, server, { openWaitMs: patienceMs });
    const starting = start(one);
    await waitFor("the channel to wait", () => one.log.lines.length > 0);
    await server.start();
    await starting;
    await put(one, 1, 3);
    assert.equal(one.channel.size, 3);
  });

  for (const { what, given, says } of [
    {
      what: "a wrong password",
      given: { properties: { "db.password": "x" } },
      says: /password authentication failed/,
    },
    {
      what: "a user that is not there",
      given: { properties: { "db.username": "nobody" } },
      says: /nobody/,
    },
  ]) {
    test(`${what} is DATABASE_REFUSED at once`, async (t) => {
      const one = await made(t, server, { ...given, openWaitMs: patienceMs });
      await assert.rejects(start(one), { code: "DATABASE_REFUSED", message: says });
    });
  }

  test("a server that does not listen is DATABASE_UNAVAILABLE when the wait is over", async (t) => {
    const one = await made(t, server, { port: 1 });
    await assert.rejects(start(one), { code: "DATABASE_UNAVAILABLE" });
  });

  test("a configuration with Flume's keys opens, and one without the tables and create.schema does not", async (t) => {
    await server.query("CREATE DATABASE bare");
    const properties = {
      "driver.url": `jdbc:${server.url.replace("/millrace", "/bare")}?ApplicationName=flume`,
      "driver.class": "org.postgresql.Driver",
      "db.type": "POSTGRESQL",
      "db.username": server.user,
      "db.password": server.password,
      "transaction.isolation": "REPEATABLE_READ",
      "maximum.connections": "1",
    };
    const make = (more: Record<string, string>) =>
      definition.create(
        optionsOf(options, { ...properties, ...more }),
        channelContext({ runtime: systemRuntime }),
      );
    const bare = await make({ "create.schema": "false" });
    await assert.rejects(bare.start(never), {
      code: "DATABASE_REFUSED",
      message: /create\.schema is false/,
    });
    await bare.stop(never);
    const full = await make({});
    await full.start(never);
    t.after(() => full.stop(never));
    await (await full.beginPut(numberedBatch(1, 5))).commit();
    const rows = await server.query(
      "SELECT application_name FROM pg_stat_activity WHERE datname = 'bare'",
    );
    assert.deepEqual(rows, [{ application_name: "flume" }]);
  });

  test("TLS is demanded by the URL: the server's certificate is checked against sslrootcert", async (t) => {
    const folder = await tempDirectory(t);
    const authority = createTestAuthority();
    const stranger = createTestAuthority("a stranger");
    const { keyPem, chainPem } = authority.issue({ commonName: "localhost" });
    await server.secure(keyPem, chainPem);
    const rootOf = async (name: string, pem: string): Promise<string> => {
      const path = join(folder, name);
      await writeFile(path, pem);
      return path;
    };
    const good = await rootOf("good.pem", authority.certificatePem);
    const bad = await rootOf("bad.pem", stranger.certificatePem);
    const parameters = (root: string) =>
      `sslmode=verify-full&sslrootcert=${encodeURIComponent(root)}`;
    const one = await made(t, server, { parameters: parameters(good) });
    await start(one);
    await put(one, 1, 3);
    const rows = await server.query(
      `SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'millrace a1 ${one.name}'`,
    );
    assert.ok(rows.length > 0 && rows.every(({ ssl }) => ssl === "t"), JSON.stringify(rows));
    const other = await made(t, server, { parameters: parameters(bad) });
    await assert.rejects(start(other), { code: "DATABASE_REFUSED", message: /certificate/ });
  });
}
