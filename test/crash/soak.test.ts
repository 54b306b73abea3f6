/** The short form of test/chaos/file-channel-soak.test.ts. */
import { test } from "node:test";
import { soakFileChannel } from "../chaos/file-channel-soak.ts";

const seed = Number(process.env["SEED"] ?? 1);

test("kill -9 at random moments under concurrent puts and takes loses nothing that was told OK [lost: file | agent killed | nothing; some twice]", (t) =>
  soakFileChannel(t, { seed, kills: 60, durationMs: 50_000 }));
