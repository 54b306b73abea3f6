import { parseOptions } from "@millrace/core";
import { channelContext, numberedBatch, optionsOf, tempDirectory } from "@millrace/testing";
import assert from "node:assert/strict";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { channel as definition } from "./index.ts";
import { databaseOf, mergeDeprecated, options } from "./options.ts";
import { connectionSettings } from "./postgresql/connection-settings.ts";
import { isConflict, postgresqlError } from "./postgresql/postgresql-errors.ts";
import { problemOf } from "./sqlite/sqlite-database.ts";

const never = new AbortController().signal;

function problemsOf(
  properties: Record<string, string>,
): readonly { key: string; message: string }[] {
  return definition.check?.(optionsOf(options, properties)) ?? [];
}

const urls: readonly { given: string; want: unknown }[] = [
  { given: "jdbc:sqlite:/var/lib/c1.db", want: { kind: "sqlite", path: "/var/lib/c1.db" } },
  { given: "sqlite:///var/lib/c1.db", want: { kind: "sqlite", path: "/var/lib/c1.db" } },
  { given: "jdbc:sqlite:~/c1.db", want: { kind: "sqlite", path: "~/c1.db" } },
  {
    given: "jdbc:postgresql://h:1/d?a=b",
    want: { kind: "postgresql", url: "postgresql://h:1/d?a=b" },
  },
  { given: "postgres://h/d", want: { kind: "postgresql", url: "postgresql://h/d" } },
  { given: "jdbc:postgresql:d", want: { kind: "postgresql", url: "postgresql://localhost/d" } },
];
for (const { given, want } of urls) {
  test(`driver.url ${given} is understood`, () => {
    assert.deepEqual(databaseOf(optionsOf(options, { "driver.url": given })), want);
  });
}

const refusals: readonly { given: Record<string, string>; key: string; says: RegExp }[] = [
  {
    given: { "driver.url": "jdbc:derby:/x;create=true" },
    key: "driver.url",
    says: /Derby needs Java.*drain/,
  },
  {
    given: { "driver.url": "jdbc:mysql://h/d" },
    key: "driver.url",
    says: /mysql is not supported/,
  },
  {
    given: { "driver.url": "jdbc:oracle:thin:@h:1:d" },
    key: "driver.url",
    says: /oracle is not supported/,
  },
  { given: { "driver.url": "somewhere" }, key: "driver.url", says: /no URL of a database/ },
  { given: { "driver.url": "jdbc:sqlite::memory:" }, key: "driver.url", says: /keeps nothing/ },
  { given: { "driver.url": "jdbc:postgresql://a,b/d" }, key: "driver.url", says: /one host only/ },
  {
    given: { "driver.url": "jdbc:postgresql://a/d", "db.type": "MYSQL" },
    key: "driver.url",
    says: /db\.type is MYSQL/,
  },
  { given: { "db.type": "ORACLE" }, key: "db.type", says: /needs a driver\.url/ },
  {
    given: { "org.apache.flume.channel.jdbc.driver.url": "jdbc:h2:x" },
    key: "driver.url",
    says: /h2/,
  },
  {
    given: { "org.apache.flume.channel.jdbc.maximum.capacity": "x" },
    key: "org.apache.flume.channel.jdbc.maximum.capacity",
    says: /whole number/,
  },
  {
    given: { "org.apache.flume.channel.jdbc.drive.url": "x" },
    key: "org.apache.flume.channel.jdbc.drive.url",
    says: /no key/,
  },
];
for (const { given, key, says } of refusals) {
  test(`check refuses ${JSON.stringify(given)}`, () => {
    const [problem] = problemsOf(given);
    assert.equal(problem?.key, key);
    assert.match(problem?.message ?? "", says);
  });
}

test("the old prefix is read, and the short form wins over it", () => {
  const { options: merged, problems } = mergeDeprecated(
    optionsOf(options, {
      "org.apache.flume.channel.jdbc.maximum.capacity": "5",
      "org.apache.flume.channel.jdbc.create.schema": "false",
      "org.apache.flume.channel.jdbc.sysprop.user.home": "/a",
      "create.schema": "true",
    }),
  );
  assert.deepEqual(problems, []);
  assert.equal(merged.capacity, 5);
  assert.equal(merged.createSchema, true);
  assert.equal(merged.systemProperties.get("user.home"), "/a");
});

test("Flume's keys that mean nothing here are noted", () => {
  const given = new Map([
    ["driver.class", "org.apache.derby.jdbc.EmbeddedDriver"],
    ["create.index", "true"],
    ["create.foreignkey", "true"],
  ]);
  assert.deepEqual(
    parseOptions(options, given).notes.map(({ key }) => key),
    ["driver.class", "create.index", "create.foreignkey"],
  );
  const notes = definition.notes?.(
    optionsOf(options, { "sysprop.x": "1", "org.apache.flume.channel.jdbc.db.type": "DERBY" }),
    [],
  );
  assert.deepEqual(
    notes?.map(({ key }) => key),
    ["org.apache.flume.channel.jdbc.db.type", "sysprop.x"],
  );
});

test("with no property but its type the file lies under sysprop.user.home, beside Derby's directory, which stays as it is", async (t) => {
  const home = await tempDirectory(t);
  const derby = join(home, ".flume", "jdbc-channel", "db");
  await mkdir(derby, { recursive: true });
  await writeFile(join(derby, "service.properties"), "derby");
  const context = channelContext({ name: "c/1" });
  const made = await definition.create(optionsOf(options, { "sysprop.user.home": home }), context);
  await made.start(never);
  await (await made.beginPut(numberedBatch(1, 3))).commit();
  await made.stop(never);
  const names = await readdir(join(home, ".flume", "jdbc-channel"));
  assert.deepEqual(names.sort(), ["c%2F1.sqlite", "db"]);
  assert.deepEqual(await readdir(derby), ["service.properties"]);
  assert.ok(context.log.lines.some(({ message }) => /Derby database of Java Flume/.test(message)));
});

test("a name of over 64 characters is CONFIG_INVALID, as in Flume", async () => {
  const context = channelContext({ name: "c".repeat(65) });
  await assert.rejects(definition.create(optionsOf(options, {}), context), {
    code: "CONFIG_INVALID",
  });
});

test("a connection takes the URL first, then the properties file, then user and password", async (t) => {
  const file = join(await tempDirectory(t), "jdbc.properties");
  await writeFile(file, "user=from file\npassword=p/%\nsslmode=disable\n");
  const settings = await connectionSettings(
    "postgresql://h:5433/d?ApplicationName=app&connectTimeout=3&socketTimeout=7",
    optionsOf(options, {
      "connection.properties.file": file,
      "db.username": "u",
      "db.password": "x",
    }),
    channelContext(),
  );
  assert.equal(settings.place, "postgresql://h:5433/d");
  assert.equal(settings.answerMs, 7000);
  assert.equal(settings.client.connectionTimeoutMillis, 3000);
  const url = new URL(settings.client.connectionString ?? "");
  assert.deepEqual(Object.fromEntries(url.searchParams), {
    application_name: "app",
    user: "from file",
    password: "p/%",
    sslmode: "disable",
  });
  await assert.rejects(
    connectionSettings(
      "postgresql://h/d",
      optionsOf(options, { "connection.properties.file": "/does/not/exist" }),
      channelContext(),
    ),
    { code: "PATH_MISSING" },
  );
});

const sqliteErrors: readonly { thrown: Record<string, unknown>; want: string }[] = [
  { thrown: { code: "SQLITE_FULL" }, want: "DISK_FULL" },
  { thrown: { errcode: 13 }, want: "DISK_FULL" },
  { thrown: { code: "SQLITE_IOERR_FSYNC" }, want: "CHANNEL_FAILED" },
  { thrown: { errcode: 1034 }, want: "CHANNEL_FAILED" },
  { thrown: { errcode: 1290 }, want: "CHANNEL_FAILED" },
  { thrown: { code: "SQLITE_IOERR_WRITE" }, want: "WRITE_FAILED" },
  { thrown: { errcode: 10 }, want: "WRITE_FAILED" },
  { thrown: { code: "SQLITE_CORRUPT_INDEX" }, want: "CHANNEL_CORRUPT" },
  { thrown: { errcode: 11 }, want: "CHANNEL_CORRUPT" },
  { thrown: { code: "SQLITE_BUSY" }, want: "CHANNEL_LOCKED" },
  { thrown: { code: "SQLITE_READONLY" }, want: "WRITE_FAILED" },
];
test("a user or password whose % is no escape is CONFIG_INVALID, and not repeated", async () => {
  const url = "postgresql://u:se%cret@h/d";
  const settings = connectionSettings(url, optionsOf(options, {}), channelContext());
  await assert.rejects(settings, (error: Error & { code?: string }) => {
    assert.equal(error.code, "CONFIG_INVALID");
    assert.match(error.message, /driver\.url.*%25/);
    assert.doesNotMatch(error.message, /cret/);
    return true;
  });
});

test("what either SQLite library throws gets one of our codes", () => {
  for (const { thrown, want } of sqliteErrors) {
    const error = Object.assign(new Error("x"), thrown);
    assert.equal(problemOf(error, "f", "write").code, want, JSON.stringify(thrown));
  }
});

test("what is not an answer of the server leaves the outcome unknown: DATABASE_UNAVAILABLE", () => {
  assert.equal(postgresqlError(new Error("read ECONNRESET"), "p").code, "DATABASE_UNAVAILABLE");
  const several = new AggregateError(
    [new Error("connect ECONNREFUSED ::1"), new Error("and 127.0.0.1")],
    "",
  );
  assert.match(postgresqlError(several, "p").message, /::1; and 127/);
  assert.equal(isConflict(new Error("40001")), false);
});
