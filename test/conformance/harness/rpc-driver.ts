import { type Child, startChild } from "@millrace/testing";
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { type Deck, writeDeck } from "./deck.ts";
import type { Flume } from "./fetch-flume.ts";
import { javaCommand } from "./java-agent.ts";
import type { Settings } from "./transports.ts";

/** What one of Flume's RPC clients is to send. */
export interface Sending {
  readonly name: string;
  /** Of the client, as RpcClientFactory reads them. */
  readonly properties: Settings;
  readonly deck: Deck;
  readonly call: "append" | "appendBatch";
  /** How often a call may be tried, each time with a new client; once when not given. */
  readonly attempts?: number;
  /** Before each batch. */
  readonly restMs?: number;
}

/** A JVM that sends with Flume's RPC clients, one after another. */
export interface RpcDriver {
  /** Batches of that sending that were acknowledged so far. */
  acknowledged(name: string): number;
  /** Waits for the end; fails when a sending did. */
  finished(deadlineMs: number): Promise<void>;
  output(): string;
}

export async function startRpcDriver(
  test: TestContext,
  flume: Flume,
  folder: string,
  sendings: readonly Sending[],
): Promise<RpcDriver> {
  const plan: string[] = [];
  for (const { name, properties, deck, call, attempts = 1, restMs = 0 } of sendings) {
    const [propertiesFile, deckFile] = [
      join(folder, `${name}.properties`),
      join(folder, `${name}.deck`),
    ];
    const text = Object.entries(properties).map(([key, value]) => `${key} = ${value}\n`);
    await writeFile(propertiesFile, text.join(""));
    await writeDeck(deckFile, deck);
    plan.push([name, propertiesFile, deckFile, call, attempts, restMs].join("\t"));
  }
  const planFile = join(folder, "plan");
  await writeFile(planFile, `${plan.join("\n")}\n`);
  const command = [...javaCommand(flume, "millrace.conformance.RpcDriver", 512), planFile];
  const child: Child = startChild(test, { command });
  return {
    acknowledged: (name) =>
      child.output().match(new RegExp(`^ACK ${name} \\d+$`, "gm"))?.length ?? 0,
    async finished(deadlineMs) {
      const { code } = await child.exited(deadlineMs);
      const output = child.output();
      assert.equal(code, 0, output);
      for (const { name } of sendings) assert.ok(output.includes(`DONE ${name}\n`), output);
    },
    output: () => child.output(),
  };
}
