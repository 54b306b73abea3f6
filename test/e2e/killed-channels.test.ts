import { createAgentProcess, freePort, tempDirectory, waitFor } from "@millrace/testing";
import assert from "node:assert/strict";
import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

const events = 60;
const lines = Array.from({ length: events }, (_, i) => `event ${String(i).padStart(3, "0")}`);

interface Killed {
  readonly title: string;
  readonly channel: string;
  /** What the next life of the agent delivers of what the killed one had taken over. */
  readonly left: readonly string[];
}

const cases: readonly Killed[] = [
  {
    title:
      "a memory channel killed with its agent loses what it holds " +
      "[lost: memory | agent killed | everything in it] [lost: memory | power cut | everything in it]",
    channel: "type = memory",
    left: [],
  },
  {
    title:
      "a pseudotxn channel killed with its agent loses what it holds " +
      "[lost: pseudotxn | agent killed | everything in it] [lost: pseudotxn | power cut | everything in it]",
    channel: "type = pseudotxn\na1.channels.c1.capacity = 100",
    left: [],
  },
  {
    title:
      "a spillablememory channel killed with its agent gives all of it to the next " +
      "[lost: spillablememory | agent killed | nothing; some twice]",
    channel: "type = spillablememory\na1.channels.c1.minimumRequiredSpace = 1",
    left: lines,
  },
];

for (const { title, channel, left } of cases) {
  test(title, async (context) => {
    const directory = await tempDirectory(context);
    const [spool, out] = [join(directory, "spool"), join(directory, "out")];
    await mkdir(spool);
    await mkdir(out);
    const configFile = join(directory, "flume.conf");
    const configure = (sink: string): Promise<void> =>
      writeFile(
        configFile,
        `a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = spooldir
a1.sources.r1.spoolDir = ${spool}
a1.sources.r1.pollDelay = 20
a1.sources.r1.batchSize = 10
a1.sources.r1.channels = c1
a1.channels.c1.${channel}
${channel.includes("spillable") ? `a1.channels.c1.dataDirs = ${directory}/log` : ""}
a1.sinks.k1.channel = c1
${sink}
`,
      );
    await configure(
      `a1.sinks.k1.type = avro\na1.sinks.k1.hostname = 127.0.0.1\na1.sinks.k1.port = ${await freePort()}`,
    );
    const agent = await createAgentProcess(context, { name: "a1", configFile });
    const counter = async (name: string, key: string): Promise<number> =>
      Number((await agent.metrics())[name]?.[key] ?? 0);
    await agent.start();
    await writeFile(join(directory, "given"), lines.map((line) => `${line}\n`).join(""));
    await rename(join(directory, "given"), join(spool, "given"));
    await waitFor(
      "the channel to have all events",
      async () => (await counter("CHANNEL.c1", "EventPutSuccessCount")) === events,
      30_000,
    );
    await waitFor(
      "the file to be done with",
      async () => (await readdir(spool)).includes("given.COMPLETED"),
      30_000,
    );
    assert.equal((await agent.kill("SIGKILL")).signal, "SIGKILL");

    await configure(`a1.sinks.k1.type = file_roll\na1.sinks.k1.sink.directory = ${out}`);
    await agent.start();
    const fresh = "a fresh event";
    await writeFile(join(directory, "fresh"), `${fresh}\n`);
    await rename(join(directory, "fresh"), join(spool, "fresh"));
    await waitFor(
      "all that is left to be delivered",
      async () => (await counter("SINK.k1", "EventDrainSuccessCount")) > left.length,
      30_000,
    );
    assert.equal((await agent.kill("SIGTERM")).code, 0);
    const delivered: string[] = [];
    for (const name of (await readdir(out)).sort()) {
      delivered.push(...(await readFile(join(out, name), "utf8")).split("\n"));
    }
    assert.deepEqual(
      delivered.filter((line) => line !== ""),
      [...left, fresh],
    );
  });
}
