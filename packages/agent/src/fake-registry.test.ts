import {
  type Channel,
  boolean,
  defineChannel,
  defineInterceptor,
  defineSelector,
  defineSerializer,
  defineSink,
  defineSinkProcessor,
  defineSource,
  type Definition,
  type EventBatch,
  ignored,
  integer,
  isPollable,
  MillraceError,
  type RegistryEntry,
  list,
  part,
  prefixed,
  type SinkContext,
  type SourceContext,
  text,
} from "@millrace/core";
import { createArrayChannel } from "@millrace/testing";
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import type { LoadedConfiguration } from "./config/agent-configuration.ts";
import { loadConfiguration } from "./config/load-configuration.ts";
import { formatProblem } from "./config/problem.ts";

/** What the fakes did, in order, and ways to make them fail. */
export interface FakeWorld {
  readonly happened: string[];
  readonly delivered: EventBatch[];
  readonly sources: Map<string, SourceContext>;
  readonly sinks: Map<string, SinkContext>;
  readonly channels: Map<string, Channel>;
  /** Called at each step of a fake, "start k1" or "deliver k1"; it may wait or throw. */
  step?: (what: string, aborted?: AbortSignal) => void | Promise<void>;
}

export function createFakeWorld(): FakeWorld {
  return { happened: [], delivered: [], sources: new Map(), sinks: new Map(), channels: new Map() };
}

const example = [
  "a1.sources = r1",
  "a1.channels = c1",
  "a1.sinks = k1",
  "a1.sources.r1.type = avro",
  "a1.sources.r1.port = 0",
  "a1.sources.r1.channels = c1",
  "a1.channels.c1.type = memory",
  "a1.sinks.k1.type = null",
  "a1.sinks.k1.channel = c1",
].join("\n");

function fakeNotes(maxPenalty: number, sinks: readonly string[]) {
  const message = `is short for ${sinks.join(" and ")}`;
  return maxPenalty < 100 ? [{ key: "maxpenalty", message }] : [];
}

/** Components under Flume's names that do as little as can be, for tests of what stands around them. */
export function fakeRegistry(world: FakeWorld = createFakeWorld()): RegistryEntry[] {
  const step = async (what: string, aborted?: AbortSignal): Promise<void> => {
    world.happened.push(what);
    await world.step?.(what, aborted);
  };
  const lifecycle = (name: string) => ({
    start: (aborted: AbortSignal) => step(`start ${name}`, aborted),
    stop: () => step(`stop ${name}`),
  });
  const common = { aliases: [], summary: "A fake.", example };

  const source = (type: string, atLeastOnce: boolean) =>
    defineSource({
      ...common,
      type,
      aliases: type === "avro" ? ["org.apache.flume.source.AvroSource"] : [],
      guarantee: atLeastOnce
        ? { atLeastOnce }
        : { atLeastOnce, lostIf: "its sender does not send again" },
      options: {
        bind: text("bind", "Address to listen on.", { default: "0.0.0.0" }),
        port: integer("port", "Port to listen on.", { required: true, max: 65535 }),
        batchSize: integer("batchSize", "Events in a batch.", { default: 100, min: 1 }),
        threads: ignored("threads", "one event loop does the work of all threads"),
        basenameHeader: boolean("basenameHeader", "Whether to add a header.", { default: false }),
      },
      check: ({ bind, port }) =>
        bind === "nowhere" && port > 0 ? [{ key: "bind", message: "cannot be nowhere" }] : [],
      batchSize: ({ batchSize }) => batchSize,
      create: async (_options, context) => {
        await step(`make ${context.name}`);
        world.sources.set(context.name, context);
        return lifecycle(context.name);
      },
    });
  const channel = (type: string, durable: boolean) =>
    defineChannel({
      ...common,
      type,
      guarantee: durable
        ? { atLeastOnce: true }
        : { atLeastOnce: false, lostIf: "the process dies" },
      options: {
        capacity: integer("capacity", "Events held.", { default: 100, min: 1 }),
        keepAliveSeconds: integer("keep-alive", "A wait.", { default: 3, min: 0 }),
        transactionCapacity: integer("transactionCapacity", "Events in one.", { default: 100 }),
        ...(durable ? { dataDirs: list("dataDirs", "Where.", { separator: "comma" }) } : {}),
      },
      ...(durable ? { home: ["dataDirs" as const] } : {}),
      ...(durable ? {} : { resizable: ["capacity" as const, "keepAliveSeconds" as const] }),
      transactionCapacity: ({ transactionCapacity }) => transactionCapacity as number,
      create: async ({ capacity }, { name, counters, runtime }) => {
        await step(`make ${name}`);
        const made = createArrayChannel(runtime.clock, {
          name,
          durable,
          counters,
          capacity: capacity as number,
          keepAliveMs: 200,
        });
        const { start, stop } = made;
        world.channels.set(name, made);
        return Object.assign(made, {
          reconfigure: (options: { capacity: number }) => {
            world.happened.push(`reconfigure ${name} capacity ${options.capacity}`);
          },
          start: async (aborted: AbortSignal) => {
            await step(`start ${name}`);
            await start(aborted);
          },
          stop: async (deadline: AbortSignal) => {
            await step(`stop ${name}`);
            await stop(deadline);
          },
        });
      },
    });
  const sink = (type: string) =>
    defineSink({
      ...common,
      type,
      guarantee: { atLeastOnce: true },
      options: {
        batchSize: integer("batch-size", "Events in a batch.", { default: 100, min: 1 }),
        serializer: part("serializer", "serializer", "How events are written.", "text"),
        headers: prefixed("headers", "Headers by name."),
        batchesInFlight: integer("batchesInFlight", "At once.", { default: 1 }),
      },
      batchSize: ({ batchSize }) => batchSize,
      breaksOrder: ({ batchesInFlight }) =>
        batchesInFlight > 1 ? `it has ${batchesInFlight} in flight` : undefined,
      create: async ({ batchSize, serializer }, context) => {
        await step(`make ${context.name}`);
        await context.makePart(serializer);
        world.sinks.set(context.name, context);
        return {
          ...lifecycle(context.name),
          batchSize,
          deliveriesInFlight: 1,
          async deliver(batch: EventBatch) {
            await step(`deliver ${context.name}`);
            world.delivered.push(batch);
          },
        };
      },
    });

  const definitions = [
    source("avro", true),
    source("netcat", false),
    channel("memory", false),
    channel("file", true),
    sink("null"),
    sink("logger"),
    sink("avro"),
    defineSelector({
      ...common,
      type: "replicating",
      options: { optional: list("optional", "Channels that may fail.") },
      create: async ({ optional }, { channels }) => {
        for (const name of optional) {
          if (channels.has(name)) continue;
          const context = { key: "selector.optional" };
          throw new MillraceError("CONFIG_INVALID", `no channel ${name} here`, { context });
        }
        return (batch) => ({
          required: new Map([...channels.values()].map((one) => [one, batch])),
          optional: new Map(),
          unmatched: 0,
        });
      },
    }),
    defineInterceptor({
      ...common,
      type: "static",
      aliases: ["org.apache.flume.interceptor.StaticInterceptor$Builder"],
      options: {
        key: text("key", "Header.", { default: "key" }),
        value: text("value", "Its value.", { required: true }),
      },
      create: async ({ key, value }, { name }) => {
        await step(`make ${name}`);
        return { edits: () => [{ name: key, value, preserveExisting: true }] };
      },
    }),
    ...["default", "failover", "load_balance"].map((type) =>
      defineSinkProcessor({
        ...common,
        type,
        options: {
          priority: prefixed("priority", "By sink."),
          maxPenalty: integer("maxpenalty", "Longest penalty.", { default: 30000 }),
        },
        ...(type === "load_balance"
          ? { breaksOrder: () => "its batches go to several sinks" }
          : {
              notes: ({ maxPenalty }, sinks: readonly string[]) =>
                fakeNotes(Number(maxPenalty), sinks),
            }),
        create: async (_options, { sinks, name }) => {
          await step(`make ${name}`);
          if (type === "default" && sinks.size > 1) {
            const context = { key: "sinks" };
            throw new MillraceError("CONFIG_INVALID", "one sink only", { context });
          }
          const [first] = sinks.values();
          assert(first !== undefined);
          return {
            ...lifecycle(name),
            batchSize: first.batchSize,
            deliveriesInFlight: 1,
            deliver: (batch, giveUp) => first.deliver(batch, giveUp),
          };
        },
      }),
    ),
    defineSerializer({
      ...common,
      type: "text",
      options: { appendNewline: boolean("appendNewline", "Newline.", { default: true }) },
      create: async () => () => ({
        header: () => Buffer.alloc(0),
        write() {},
        footer: () => Buffer.alloc(0),
      }),
    }),
  ] as unknown as Definition[];
  return definitions.map((definition) => {
    const { kind, type, aliases, summary } = definition;
    return { kind, type, aliases, summary, load: () => Promise.resolve(definition) };
  });
}

export interface LoadedText extends LoadedConfiguration {
  /** Problems as lines, under the file name flume.conf. */
  readonly lines: readonly string[];
}

/** Loads the configuration of agent a1 from texts, the first as flume.conf. */
export async function loadText(
  texts: string | readonly string[],
  given: {
    mode?: "strict" | "lenient";
    agent?: string;
    world?: FakeWorld;
    defines?: ReadonlyMap<string, string>;
    env?: Record<string, string>;
  } = {},
): Promise<LoadedText> {
  const { mode = "strict", agent = "a1", world, defines = new Map(), env = {} } = given;
  const directory = await mkdtemp(join(tmpdir(), "millrace-"));
  try {
    const files: string[] = [];
    for (const [index, content] of [texts].flat().entries()) {
      const path = join(directory, index === 0 ? "flume.conf" : `flume-${index + 1}.conf`);
      await writeFile(path, content);
      files.push(path);
    }
    const registry = fakeRegistry(world);
    const loaded = await loadConfiguration({ files, agent, registry, mode, defines, env });
    const lines = loaded.problems.map((problem) =>
      formatProblem(problem).replaceAll(`${directory}/`, ""),
    );
    return { ...loaded, lines };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

export { example as fakeExample };

void test("the fakes' example passes check, and no fake source is polled", async () => {
  const world = createFakeWorld();
  const { lines, startable, configuration } = await loadText(example, { world });
  assert.deepEqual(lines, []);
  assert.equal(startable, true);
  const source = configuration.sources.get("r1");
  assert(source !== undefined);
  const made = await source.definition.create(source.options, { name: "r1" } as SourceContext);
  assert.equal(isPollable(made), false);
});
