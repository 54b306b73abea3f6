/** Random histories of a route against the book that its fake hosts keep. */
import { DeliveryError, type EventBatch, MillraceError, type Ranges } from "@millrace/core";
import { createSeededRandom, numberedBatch, within } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import type { EventClient } from "../wire/event-client.ts";
import {
  createFailover,
  createFirstHost,
  createLoadBalance,
  createRandomOrder,
} from "./host-choice.ts";
import { routeTo } from "./test-route.test.ts";

const seeds = Number(process.env["SEEDS"] ?? 300);
const codes = ["RPC_STATUS_FAILED", "RPC_TIMEOUT", "RPC_CONNECTION_LOST"] as const;

type Random = ReturnType<typeof createSeededRandom>;

/** Takes some of each request, none, or all, a while later, and says exactly that. */
function honestHosts(random: Random) {
  const taken: number[] = [];
  const answer = async (batch: EventBatch): Promise<void> => {
    for (let turns = random.integer(4); turns > 0; turns--) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    const numbers = [...batch].map(({ body }) => Number(body.toString()));
    const fate = random.integer(8);
    const code = codes[random.integer(codes.length)] ?? "RPC_TIMEOUT";
    if (fate < 4) {
      taken.push(...numbers);
      return;
    }
    if (fate < 6) throw new MillraceError(code, "none of it");
    const settled: { from: number; to: number }[] = [];
    const rejected: { from: number; to: number }[] = [];
    for (let at = 0; at < numbers.length; at++) {
      const luck = random.integer(6);
      if (luck < 2) {
        settled.push({ from: at, to: at + 1 });
        taken.push(numbers[at] as number);
      } else if (luck === 2 && fate === 7) rejected.push({ from: at, to: at + 1 });
    }
    throw new DeliveryError(code, "some of it", { settled, rejected });
  };
  const createClient = (): EventClient => ({
    alive: true,
    connect: () =>
      random.integer(6) === 0
        ? Promise.reject(new MillraceError("RPC_CONNECT_FAILED", "not there"))
        : Promise.resolve(),
    append: answer,
    appendBatch: answer,
    close() {},
  });
  return { taken, createClient };
}

const numbersIn = (ranges: Ranges, first: number): number[] =>
  ranges.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, i) => first + from + i));
const sorted = (numbers: readonly number[]): number[] => [...numbers].sort((a, b) => a - b);

test(`what a route says was taken is what hosts took, each event once (${seeds} histories)`, async (t) => {
  let partly = 0;
  for (let seed = 1; seed <= seeds; seed++) {
    const random = createSeededRandom(seed);
    const { taken, createClient } = honestHosts(random);
    const choices = [
      createFirstHost(),
      createFailover(true),
      createLoadBalance(createRandomOrder({ random })),
    ];
    const { route } = routeTo(t, ["a:1", "b:2", "c:3"].slice(0, 1 + random.integer(3)), {
      choice: choices[random.integer(choices.length)] ?? createFirstHost(),
      createClient,
      batchSize: 1 + random.integer(6),
      batchesInFlight: 1 + random.integer(4),
      connectionsMax: 1 + random.integer(2),
      penaltyMsMax: random.integer(2) * 1000,
    });
    const said = await within(
      `the deliveries of seed ${seed}`,
      Promise.all(
        Array.from({ length: 3 }, async (_, i) => {
          const first = i * 100;
          const last = first + random.integer(20);
          try {
            await route.deliver(numberedBatch(first, last));
            return numbersIn([{ from: 0, to: last - first + 1 }], first);
          } catch (error) {
            if (!(error instanceof DeliveryError)) return [];
            if (error.settled.length > 0) partly++;
            return numbersIn(error.settled, first);
          }
        }),
      ),
    );
    assert.deepEqual(sorted(said.flat()), sorted(taken), `seed ${seed}`);
    await route.stop(AbortSignal.abort());
  }
  assert.ok(partly > seeds / 4, `${partly} deliveries were taken in part`);
});
