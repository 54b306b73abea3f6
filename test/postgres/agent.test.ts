/** A whole agent over a jdbc channel in PostgreSQL: both are killed under load. */
import { createAgentProcess, createTailedStage } from "@millrace/testing";
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { findPostgres } from "./harness/postgres-binaries.ts";
import { createPostgresServer } from "./harness/postgres-server.ts";

const found = findPostgres();
const patienceMs = 120_000;

if ("skip" in found) {
  test("an agent over PostgreSQL is killed under load", (t) => t.skip(found.skip));
} else {
  const server = await createPostgresServer(found.folder);
  await server.start();
  after(() => server.stop());

  test("an agent that is killed, and whose PostgreSQL is, delivers every line it took [lost: jdbc-postgresql | agent killed | nothing; some twice]", async (t) => {
    const { folder, oracle, writer } = await createTailedStage(t, 1000);
    const configFile = join(folder, "a1.conf");
    await writeFile(
      configFile,
      `
a1.sources = r
a1.channels = c
a1.sinks = k
a1.sources.r.type = TAILDIR
a1.sources.r.channels = c
a1.sources.r.filegroups = all
a1.sources.r.filegroups.all = ${folder}/.*[.]log
a1.sources.r.positionFile = ${folder}/positions.json
a1.channels.c.type = jdbc
a1.channels.c.driver.url = jdbc:${server.url}
a1.channels.c.db.type = POSTGRESQL
a1.channels.c.db.username = ${server.user}
a1.channels.c.db.password = ${server.password}
a1.channels.c.maximum.capacity = 100000
a1.sinks.k.type = file_roll
a1.sinks.k.channel = c
a1.sinks.k.sink.directory = ${folder}/out
`,
    );
    const agent = await createAgentProcess(t, { name: "a1", configFile });
    await agent.start();
    writer.start();
    const traffic = (): Promise<void> => oracle.progress(500, patienceMs);
    for (let round = 0; round < 2; round++) {
      await traffic();
      await agent.kill("SIGKILL");
      oracle.fault("agent killed");
      await agent.start();
      await traffic();
      await server.kill();
      oracle.fault("PostgreSQL killed");
      await server.start();
    }
    oracle.faultsEnded();
    await traffic();
    await writer.stop();
    await oracle.settled(patienceMs);
    assert.deepEqual(await agent.kill("SIGTERM"), { code: 0, signal: null }, agent.output());
    const report = await oracle.check({ lines: 2000, faults: 4, duplicates: 0, tornLinesMax: 2 });
    t.diagnostic(report.text);
  });
}
