/**
 * What Java Flume left in its file channel comes over whole: beside each import, Java opens a copy of
 * the same directories and says what it would deliver.
 */
import { type Event, nodeFileSystem } from "@millrace/core";
import { createFileChannel, openJavaChannel } from "@millrace/file-channel";
import {
  channelContext,
  freePort,
  programCommand,
  tempDirectory,
  waitFor,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { cp, mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { tierConfig } from "./harness/agent-config.ts";
import { drainByJava, driveChannel } from "./harness/channel-driver.ts";
import { createCollector } from "./harness/collector.ts";
import { assertSameEvents, type Deck, event, writeDeck } from "./harness/deck.ts";
import { findFlume, flumeVersions } from "./harness/fetch-flume.ts";
import { createJavaAgent } from "./harness/java-agent.ts";
import { run } from "./harness/programs.ts";
import { startRpcDriver } from "./harness/rpc-driver.ts";
import type { Settings } from "./harness/transports.ts";

const withinMs = 60_000;
const importDeadlineMs = 60_000;

for (const version of flumeVersions) {
  void test(`what a stopped Flume ${version} agent had not delivered is imported, in order and once, and not while it runs`, async (t) => {
    const flume = await findFlume(t, version);
    if (flume === undefined) return;
    const folder = await tempDirectory(t);
    const collector = await createCollector(t, 10);
    const deck = numberedDeck(60, 50, 200);
    const deckFile = join(folder, "in.deck");
    await writeDeck(deckFile, deck);
    const source = { type: "millrace.conformance.DeckSource", deck: deckFile };
    const configFile = join(folder, "a1.conf");
    const config = tierConfig(
      { type: "file", ...javaChannel(folder) },
      source,
      avroSink(collector.port),
    );
    await writeFile(configFile, config);
    const agent = await createJavaAgent(t, flume, {
      name: "a1",
      configFile,
      waitsFor: ["CHANNEL.c"],
    });
    await agent.start();
    await waitFor("half to be delivered", () => collector.events.length >= 1_500, withinMs);
    collector.mode = "FAILED";
    await waitFor(
      "everything to be put",
      async () => !(await names(folder)).includes("in.deck"),
      withinMs,
    );
    await waitFor("a refusal", () => collector.refusals > 0, withinMs);
    await assert.rejects(
      openJavaChannel(nodeFileSystem, { dataDirs: dataDirs(folder), goOn: true }),
      {
        code: "CHANNEL_LOCKED",
        message: /whether a Java agent runs on \S+ is certain: process \d+ has/,
      },
    );
    await agent.kill("SIGTERM");
    const logs = (await names(join(folder, "data1"))).filter((name) => /^log-\d+$/.test(name));
    assert.ok(logs.length >= 2, `only ${logs.join(", ")}: no file rolled`);

    const expected = deck.flat().slice(collector.events.length);
    assert.ok(expected.length > 500, `${expected.length} events were left`);
    const byJava = await drainCopy(t, flume, folder);
    assertSameEvents(byJava, expected);
    assertSameEvents(await importInto(t, folder, []), expected);
    t.diagnostic(`${expected.length} events imported out of ${logs.length} files and more`);
  });

  void test(`what a killed Flume ${version} agent had acknowledged and not delivered is imported`, async (t) => {
    const flume = await findFlume(t, version);
    if (flume === undefined) return;
    const folder = await tempDirectory(t);
    const collector = await createCollector(t, 15);
    const port = await freePort();
    const configFile = join(folder, "a1.conf");
    const source = { type: "avro", bind: "127.0.0.1", port: String(port) };
    const channel = { type: "file", ...javaChannel(folder) };
    await writeFile(configFile, tierConfig(channel, source, avroSink(collector.port)));
    const agent = await createJavaAgent(t, flume, {
      name: "a1",
      configFile,
      listensOn: [port],
      waitsFor: ["CHANNEL.c"],
    });
    await agent.start();
    const deck = numberedDeck(4_000, 20, 100);
    const properties = { hosts: "h1", "hosts.h1": `127.0.0.1:${port}`, "batch-size": "100" };
    const driver = await startRpcDriver(t, flume, folder, [
      { name: "load", properties, deck, call: "appendBatch" },
    ]);
    const busy = (): boolean => {
      const delivered = collector.events.length;
      return delivered >= 300 && driver.acknowledged("load") * 20 >= delivered + 1_500;
    };
    await waitFor("a load under way", busy, withinMs);
    await agent.kill("SIGKILL");
    await waitFor("the load to end", () => driver.output().includes("END"), withinMs);

    const acknowledged = deck.slice(0, driver.acknowledged("load")).flat();
    assert.ok(acknowledged.length < 80_000, "it was killed under load");
    const delivered = new Set(collector.events.map(numberOf));
    const byJava = await drainCopy(t, flume, folder);
    const imported = await importInto(t, folder, ["--yes"]);
    const numbers = imported.map(numberOf);
    assert.ok(numbers.length > 300, `${numbers.length} events were left`);
    assert.deepEqual(
      numbers,
      [...new Set(numbers)].sort((a, b) => a - b),
    );
    const here = new Set(numbers);
    const lost = acknowledged.map(numberOf).filter((n) => !here.has(n) && !delivered.has(n));
    assert.deepEqual(lost, []);
    const again = numbers.filter((n) => delivered.has(n)).length;
    assert.ok(again <= 200, `${again} events were delivered before, and one transaction was open`);
    // Java gives back what a transaction had taken in no order.
    const inOrder = (list: readonly Event[]): Event[] =>
      [...list].sort((a, b) => numberOf(a) - numberOf(b));
    assertSameEvents(imported, inOrder(byJava));
    t.diagnostic(
      `${acknowledged.length} acknowledged, ${delivered.size} delivered, ${numbers.length} imported, ${again} of them twice`,
    );
  });

  void test(`an encrypted channel of Flume ${version} with open transactions is imported with its key store`, async (t) => {
    const flume = await findFlume(t, version);
    if (flume === undefined) return;
    const folder = await tempDirectory(t);
    const store = await createKeyStore(t, folder);
    const encrypted = (key: string): Settings => ({
      ...javaChannel(folder),
      ...store.settings,
      "encryption.activeKey": key,
    });
    await driveChannel(t, flume, folder, encrypted("key-1"), [
      ...["put:100:300", "rollback-put:7", "take:40", "rollback-take:9"],
      ...["put:50:2000", "take:20", "open-put:3", "open-take:6", "stop"],
    ]);
    await driveChannel(t, flume, folder, encrypted("key-2"), [
      ...["put:60:100", "take:10", "open-take:4", "put:5:10", "halt"],
    ]);
    const byJava = await drainCopy(t, flume, folder, encrypted("key-2"));
    const imported = await importInto(t, folder, ["--yes", "--plain", ...store.words]);
    assert.ok(imported.length > 100, `${imported.length} events`);
    const texts = (list: readonly Event[]): string[] => list.map(({ body }) => body.toString());
    assert.deepEqual(texts(imported).sort(), texts(byJava).sort());
    await assert.rejects(
      openJavaChannel(nodeFileSystem, { dataDirs: dataDirs(folder), goOn: true }),
      {
        code: "KEY_MISSING",
        message: /encrypted with the key key-[12]/,
      },
    );
  });
}

const numberOf = ({ headers }: Event): number => Number(headers.get("n"));

function numberedDeck(batches: number, batchSize: number, bytes: number): Deck {
  return Array.from({ length: batches }, (_, batch) =>
    Array.from({ length: batchSize }, (__, index) => {
      const n = batch * batchSize + index;
      return event(`event ${n} `.padEnd(bytes, "."), { n: String(n), empty: "" });
    }),
  );
}

/** Small files and frequent checkpoints, so that files roll and are let go. */
function javaChannel(folder: string): Settings {
  return {
    checkpointDir: join(folder, "checkpoint"),
    dataDirs: dataDirs(folder).join(","),
    capacity: "100000",
    transactionCapacity: "1000",
    maxFileSize: "100000",
    checkpointInterval: "1000",
    minimumRequiredSpace: "1048576",
    "keep-alive": "0",
  };
}

const avroSink = (port: number): Settings => ({
  type: "avro",
  hostname: "127.0.0.1",
  port: String(port),
  "batch-size": "100",
});

async function names(folder: string): Promise<string[]> {
  return await readdir(folder);
}

/** What Java takes out of a copy of its directories. */
async function drainCopy(
  t: TestContext,
  flume: Parameters<typeof drainByJava>[1],
  folder: string,
  channel: Settings = javaChannel(folder),
): Promise<Event[]> {
  const copy = join(folder, "copy");
  await mkdir(copy);
  for (const name of ["checkpoint", "data1", "data2"]) {
    await cp(join(folder, name), join(copy, name), { recursive: true });
  }
  const places = { checkpointDir: join(copy, "checkpoint"), dataDirs: dataDirs(copy).join(",") };
  return await drainByJava(t, flume, copy, { ...channel, ...places });
}

const dataDirs = (folder: string): string[] => [join(folder, "data1"), join(folder, "data2")];

function importCommand(folder: string, words: readonly string[]): string[] {
  const command = [...programCommand("cli/main"), "file-channel", "import", ...dataDirs(folder)];
  return [...command, "--into", join(folder, "ours"), ...words];
}

/** Imports with the program itself; gives what is in our channel then. */
async function importInto(
  t: TestContext,
  folder: string,
  words: readonly string[],
): Promise<Event[]> {
  const said = await run(t, importCommand(folder, words), importDeadlineMs);
  const channel = createFileChannel(
    { dataDirs: [join(folder, "ours")], keepAliveMs: 50 },
    channelContext(),
  );
  await channel.start(new AbortController().signal);
  const found: Event[] = [];
  while (channel.size > 0) {
    const transaction = await channel.beginTake(1_000);
    for (const { headers, body } of transaction.batch) {
      found.push({ headers, body: Buffer.from(body) });
    }
    await transaction.commit();
  }
  await channel.stop(new AbortController().signal);
  assert.ok(said.includes(`imported ${found.length} events`), said);
  return found;
}

interface KeyStore {
  readonly settings: Settings;
  readonly words: readonly string[];
}

/** Two keys: one under a password of its own, one under the store's. */
async function createKeyStore(t: TestContext, folder: string): Promise<KeyStore> {
  const path = (name: string): string => join(folder, name);
  await writeFile(path("store-password"), "storePass\n");
  await writeFile(path("key-1-password"), "keyPass1\n");
  for (const [alias, size, password] of [
    ["key-1", "128", "keyPass1"],
    ["key-2", "256", "storePass"],
  ] as const) {
    const key = ["-alias", alias, "-keyalg", "AES", "-keysize", size, "-keypass", password];
    const store = [
      "-keystore",
      path("keys.jceks"),
      "-storetype",
      "JCEKS",
      "-storepass",
      "storePass",
    ];
    await run(t, ["keytool", "-J-XX:TieredStopAtLevel=1", "-genseckey", ...key, ...store], 60_000);
  }
  return {
    settings: {
      "encryption.cipherProvider": "AESCTRNOPADDING",
      "encryption.keyProvider": "JCEKSFILE",
      "encryption.keyProvider.keyStoreFile": path("keys.jceks"),
      "encryption.keyProvider.keyStorePasswordFile": path("store-password"),
      "encryption.keyProvider.keys": "key-1 key-2",
      "encryption.keyProvider.keys.key-1.passwordFile": path("key-1-password"),
    },
    words: [
      ...["--key-store", path("keys.jceks"), "--key-store-password-file", path("store-password")],
      ...["--key-password-file", `key-1=${path("key-1-password")}`],
    ],
  };
}
