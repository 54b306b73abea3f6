/** The contract of every channel, over a real PostgreSQL. */
import { channelContract } from "@millrace/testing";
import { after, test } from "node:test";
import { findPostgres } from "./harness/postgres-binaries.ts";
import { channelOnFakeClock } from "./harness/postgres-channel.ts";
import { createPostgresServer } from "./harness/postgres-server.ts";

const found = findPostgres();

if ("skip" in found) {
  test("PostgreSQL passes the contract of every channel", (t) => t.skip(found.skip));
} else {
  const server = await createPostgresServer(found.folder);
  await server.start();
  after(() => server.stop());

  channelContract("jdbc over PostgreSQL", (given) => channelOnFakeClock(server, given));

  channelContract("jdbc over one connection that keeps nothing in memory", (given) =>
    channelOnFakeClock(server, { ...given, memoryBytes: 0, readsApart: false }),
  );
}
