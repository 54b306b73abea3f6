/** The long form of the soak in test/crash: KILLS (300) kills, or SOAK_MINUTES (8), whichever is first. */
import { test } from "node:test";
import { soakFileChannel } from "./file-channel-soak.ts";

const kills = Number(process.env["KILLS"] ?? "300");
const minutes = Number(process.env["SOAK_MINUTES"] ?? "8");
const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000);
const directory = process.env["SOAK_DIRECTORY"];

test(
  `a file channel that is killed ${kills} times under load loses nothing it said OK to (seed ${seed})`,
  { timeout: (minutes + 4) * 60_000 },
  (t) =>
    soakFileChannel(t, {
      seed,
      kills,
      durationMs: minutes * 60_000,
      ...(directory === undefined ? {} : { directory }),
    }),
);
