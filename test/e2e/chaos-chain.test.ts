/** The short form: each fault once, then by chance until 40 seconds are over; MINUTES=10 goes on. */
import { test } from "node:test";
import { runChaos } from "../chaos/run-chaos.ts";

const minutes = Number(process.env["MINUTES"] ?? "0.6");
const seed = Number(process.env["SEED"] ?? "1");

test(
  "every acknowledged line arrives, unchanged and in order, whatever is killed, cut or stalled " +
    "[lost: avro-hop | sender killed | nothing; some twice] [lost: avro-hop | receiver killed | nothing; some twice] " +
    "[lost: avro-hop | link cut | nothing; some twice] [lost: avro-hop | reply lost | nothing; some twice]",
  { timeout: (minutes + 8) * 60_000 },
  (t) => runChaos(t, { seed, linesPerSecond: 2_000, durationMs: minutes * 60_000 }),
);
