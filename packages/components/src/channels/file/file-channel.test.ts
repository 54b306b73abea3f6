import { parseOptions, systemRuntime } from "@millrace/core";
import {
  channelContext,
  createFakeClock,
  numberedBatch,
  numbersOf,
  optionsOf,
  tempDirectory,
  waitFor,
  within,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { channel as definition } from "./index.ts";
import { options } from "./options.ts";

const never = new AbortController().signal;

function plenty(): typeof systemRuntime {
  const files = { ...systemRuntime.files, freeBytes: () => Promise.resolve(2 ** 40) };
  return { ...systemRuntime, files };
}

test("with no property but its type the log lies under the home directory", async (context) => {
  const home = await tempDirectory(context);
  const made = await definition.create(
    optionsOf(options, {}),
    channelContext({ home, runtime: plenty() }),
  );
  await made.start(never);
  await (await made.beginPut(numberedBatch(1, 3))).commit();
  await made.stop(never);
  const names = await readdir(join(home, ".flume", "file-channel", "data"));
  assert.ok(names.includes("channel.json"), names.join(" "));
  assert.ok(names.some((name) => name.endsWith(".seg")));
});

test("Flume's keys are read, with ~ for the home directory (T773)", async (context) => {
  const home = await tempDirectory(context);
  const properties = {
    dataDirs: "~/one, ~/two",
    checkpointDir: "/nowhere",
    capacity: "5",
    transactionCapacity: "5",
    "keep-alive": "0",
    minimumRequiredSpace: "1",
    maxFileSize: "1000",
  };
  const parsed = parseOptions(options, new Map(Object.entries(properties)));
  assert.deepEqual(parsed.problems, []);
  assert.deepEqual(
    parsed.notes.map(({ key }) => key),
    ["checkpointDir", "maxFileSize"],
  );
  const made = await definition.create(parsed.options, channelContext({ home, runtime: plenty() }));
  await made.start(never);
  await (await made.beginPut(numberedBatch(1, 5))).commit();
  await assert.rejects(within("a put without room", made.beginPut(numberedBatch(6, 6))), {
    code: "CHANNEL_FULL",
  });
  await made.stop(never);
  assert.ok((await readdir(join(home, "two"))).includes("channel.json"));
});

test("below the default minimumRequiredSpace puts are refused and the rest works (T724)", async (context) => {
  const home = await tempDirectory(context);
  const files = { ...systemRuntime.files, freeBytes: () => Promise.resolve(400_000_000) };
  const runtime = { ...systemRuntime, files };
  const made = await definition.create(optionsOf(options, {}), channelContext({ home, runtime }));
  await made.start(never);
  await assert.rejects(made.beginPut(numberedBatch(1, 1)), { code: "DISK_FULL" });
  await made.stop(never);
});

test("lockWaitSeconds says how long a start waits for who holds the directories", async (context) => {
  const home = await tempDirectory(context);
  const clock = createFakeClock();
  const make = (seconds: string): ReturnType<typeof definition.create> => {
    const systemProperties = new Map([["millrace.lockWaitSeconds", seconds]]);
    const runtime = { ...plenty(), clock };
    return definition.create(
      optionsOf(options, {}),
      channelContext({ home, runtime, systemProperties }),
    );
  };
  const holder = await make("0");
  await holder.start(never);
  const impatient = await make("0");
  await assert.rejects(impatient.start(never), { code: "CHANNEL_LOCKED" });
  await impatient.stop(never);
  const patient = await make("3600");
  const started = patient.start(never);
  await waitFor("it to wait", () => patient.trouble?.code === "CHANNEL_LOCKED");
  await holder.stop(never);
  await waitFor("the start", async () => {
    await clock.advance(1000);
    return patient.trouble === undefined;
  });
  await within("the start", started);
  await patient.stop(never);
  await assert.rejects(make("soon"), { code: "CONFIG_INVALID", message: /lockWaitSeconds=soon/ });
});

function problemsOf(given: Record<string, string>): string[] {
  return (definition.check?.(optionsOf(options, given)) ?? []).map(({ key }) => key);
}

for (const { name, given, want } of [
  { name: "a transactionCapacity over capacity", given: { capacity: "10", transactionCapacity: "11" }, want: ["transactionCapacity"] }, // prettier-ignore
  { name: "a share of the disk over 99%", given: { minimumRequiredSpace: "100%" }, want: ["minimumRequiredSpace"] }, // prettier-ignore
  { name: "an active key and a cipher without a provider", given: { "encryption.activeKey": "k", "encryption.cipherProvider": "AESGCM" }, want: ["encryption.activeKey", "encryption.cipherProvider"] }, // prettier-ignore
  { name: "a key store without file and password (T779)", given: { "encryption.keyProvider": "JCEKSFILE", "encryption.keyProvider.keys": "k" }, want: ["encryption.keyProvider.keyStoreFile", "encryption.keyProvider.keyStorePasswordFile"] }, // prettier-ignore
  { name: "an active key that is not among the keys (T781)", given: { "encryption.keyProvider": "JCEKSFILE", "encryption.keyProvider.keyStoreFile": "s", "encryption.keyProvider.keyStorePasswordFile": "p", "encryption.keyProvider.keys": "j k", "encryption.activeKey": "l" }, want: ["encryption.activeKey"] }, // prettier-ignore
  { name: "key files of which none is named", given: { "encryption.keyProvider": "KEYFILES" }, want: ["encryption.keyProvider.keyDir"] }, // prettier-ignore
  { name: "key files without the active one", given: { "encryption.keyProvider": "KEYFILES", "encryption.keyProvider.keys.k.file": "f", "encryption.activeKey": "l" }, want: ["encryption.activeKey"] }, // prettier-ignore
  { name: "a property of a key that is none", given: { "encryption.keyProvider": "KEYFILES", "encryption.keyProvider.keyDir": "d", "encryption.keyProvider.keys.k.flie": "f" }, want: ["encryption.keyProvider.keys.k.flie"] }, // prettier-ignore
  { name: "encryption in format 1", given: { "encryption.keyProvider": "KEYFILES", "encryption.keyProvider.keyDir": "d", "encryption.activeKey": "k", formatVersion: "1" }, want: ["formatVersion"] }, // prettier-ignore
]) {
  test(`check reports ${name}`, () => {
    assert.deepEqual(problemsOf(given), want);
  });
}

test("a provider or a cipher that is not known is a problem of its option (T777, T778)", () => {
  const given = { "encryption.keyProvider": "com.acme.Keys", "encryption.cipherProvider": "DES" };
  const { problems } = parseOptions(options, new Map(Object.entries(given)));
  assert.deepEqual(
    problems.map(({ key }) => key),
    ["encryption.keyProvider", "encryption.cipherProvider"],
  );
});

test("Flume's cipher is accepted with a note", () => {
  const given = { "encryption.keyProvider": "KEYFILES", "encryption.cipherProvider": "AESCTRNOPADDING" }; // prettier-ignore
  const notes = definition.notes?.(optionsOf(options, given), []) ?? [];
  assert.deepEqual(
    notes.map(({ key }) => key),
    ["encryption.cipherProvider"],
  );
});

test("a configuration with key files encrypts what is stored, and reads it back (T773)", async (context) => {
  const home = await tempDirectory(context);
  await mkdir(join(home, "keys"));
  await writeFile(join(home, "keys", "k-2026"), "ab".repeat(32), { mode: 0o400 });
  const given = {
    dataDirs: "~/data",
    "encryption.keyProvider": "KEYFILES",
    "encryption.keyProvider.keyDir": "~/keys",
    "encryption.cipherProvider": "AESGCM",
    "encryption.activeKey": "k-2026",
  };
  assert.deepEqual(problemsOf(given), []);
  for (const life of [1, 2]) {
    const made = await definition.create(
      optionsOf(options, given),
      channelContext({ home, runtime: plenty() }),
    );
    await made.start(never);
    if (life === 1) await (await made.beginPut(numberedBatch(1, 3))).commit();
    else {
      const take = await made.beginTake(10);
      assert.deepEqual(numbersOf(take.batch), [1, 2, 3]);
      await take.commit();
    }
    await made.stop(never);
  }
  const names = (await readdir(join(home, "data"))).filter((name) => name.endsWith(".seg"));
  assert.ok(names.length > 0);
  const [first = ""] = names;
  assert.ok((await readFile(join(home, "data", first))).includes("k-2026"), "in the header");
});

test("a key store whose files are not there does not start (T779)", async (context) => {
  const home = await tempDirectory(context);
  const given = {
    "encryption.keyProvider": "JCEKSFILE",
    "encryption.keyProvider.keyStoreFile": "~/keys.jceks",
    "encryption.keyProvider.keyStorePasswordFile": "~/password",
    "encryption.keyProvider.keys": "k",
    "encryption.activeKey": "k",
  };
  assert.deepEqual(problemsOf(given), []);
  const made = await definition.create(
    optionsOf(options, given),
    channelContext({ home, runtime: plenty() }),
  );
  await assert.rejects(made.start(never), { message: /keys\.jceks/ });
  await made.stop(never);
});

test("minimumRequiredSpace is bytes with a floor of 1 MiB, or a share of the disk (T724)", async (context) => {
  const home = await tempDirectory(context);
  const total = 1_000_000_000_000;
  const freeBytes = (free: number): typeof systemRuntime => ({
    ...systemRuntime,
    files: {
      ...systemRuntime.files,
      freeBytes: () => Promise.resolve(free),
      totalBytes: () => Promise.resolve(total),
    },
  });
  for (const { given, free, taken } of [
    { given: "20%", free: total / 5 - 1, taken: false },
    { given: "20%", free: total / 5 + 2 ** 20, taken: true },
    { given: "0.5 %", free: total / 200 + 2 ** 20, taken: true },
    { given: "1", free: 2 ** 20 - 1, taken: false },
    { given: "400000000", free: 300_000_000, taken: false },
    { given: "400000000", free: 500_000_000, taken: true },
  ]) {
    const made = await definition.create(
      optionsOf(options, { minimumRequiredSpace: given }),
      channelContext({ home, runtime: freeBytes(free) }),
    );
    await made.start(never);
    const put = made
      .beginPut(numberedBatch(1, 1))
      .then(async (transaction) => transaction.commit());
    if (taken) await put;
    else await assert.rejects(put, { code: "DISK_FULL" }, `${given} of ${free}`);
    await made.stop(never);
  }
});
