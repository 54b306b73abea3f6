import { parseOptions, systemRuntime } from "@millrace/core";
import { channelContext, numberedBatch, optionsOf, tempDirectory, within } from "@millrace/testing";
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
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

test("Flume's keys are read, with ~ for the home directory (T773 without encryption)", async (context) => {
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

test("a transactionCapacity over capacity and encryption are problems that check reports", () => {
  const given = { capacity: "10", transactionCapacity: "11", "encryption.activeKey": "k" };
  const problems = definition.check?.(optionsOf(options, given)) ?? [];
  assert.deepEqual(
    problems.map(({ key }) => key),
    ["transactionCapacity", "encryption.activeKey"],
  );
});
