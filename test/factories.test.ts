/** Flume's factories make a component from its alias or its class; here every name leads to one value. */
import { loadConfiguration } from "@millrace/agent";
import { registry as components } from "@millrace/components";
import { registry as jdbc } from "@millrace/jdbc";
import { registry as kafka } from "@millrace/kafka";
import { registry as kubernetes } from "@millrace/kubernetes";
import type { PartRef, RegistryEntry, SinkContext, SourceContext } from "@millrace/core";
import { partContext, sinkContext, sourceContext, tempDirectory } from "@millrace/testing";
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

const registry = [...components, ...jdbc, ...kafka, ...kubernetes];

/** The component of its own example, under the name that is given instead of its type. */
async function configured(t: TestContext, entry: RegistryEntry, name: string) {
  const { example, type, kind, aliases } = await entry.load();
  const file = join(await tempDirectory(t), "flume.conf");
  const names = [type, ...aliases].map((one) => one.replaceAll(".", "\\.")).join("|");
  const line = new RegExp(`^(a1\\.${kind}s\\.\\w+\\.type = )(?:${names})$`, "im");
  assert.match(example, line, `${kind} ${type} is in its example`);
  // As in Flume, a replacement's $ is a name's own.
  await writeFile(
    file,
    example.replace(line, (_, key: string) => key + name),
  );
  const loaded = await loadConfiguration({ files: [file], agent: "a1", registry, mode: "lenient" });
  const all = kind === "source" ? loaded.configuration.sources : loaded.configuration.sinks;
  const [config] = [...all.values()].filter((one) => one.type === type);
  assert.ok(config !== undefined, `${name}: ${JSON.stringify(loaded.problems)}`);
  return config;
}

const made = registry.filter(({ kind }) => kind === "source" || kind === "sink");

for (const entry of made) {
  const { kind, type, aliases } = entry;
  const rows = kind === "source" ? "T345, T346" : "T347, T348";
  void test(`${kind} ${type} is made by its alias and its class, a new one each time (${rows})`, async (t) => {
    const definition = await entry.load();
    for (const name of [type, type.toUpperCase(), ...aliases]) {
      const config = await configured(t, entry, name);
      assert.equal(config.definition, definition, name);
    }
    const config = await configured(t, entry, type);
    const makePart = async <T>({ prefix }: PartRef): Promise<T> => {
      const part = config.parts.get(prefix);
      assert.ok(part !== undefined);
      return (await part.definition.create(part.options, partContext() as never)) as T;
    };
    const context: unknown =
      kind === "source" ? sourceContext({ makePart }) : sinkContext({ makePart });
    const create = (): Promise<object> =>
      config.definition.create(config.options, context as SinkContext & SourceContext);
    assert.notEqual(await create(), await create());
  });
}

void test("there are sources and sinks to be made", () => {
  assert.ok(made.length >= 8, `${made.length} only`);
});

for (const { kind, type, load } of registry) {
  void test(`the example of ${kind} ${type} passes check`, async (t) => {
    const file = join(await tempDirectory(t), "flume.conf");
    await writeFile(file, (await load()).example);
    const request = { files: [file], agent: "a1", registry, mode: "strict" } as const;
    const { problems, startable } = await loadConfiguration(request);
    const told = problems.map(({ property, message }) => `${property}: ${message}`);
    // Its own note, that it is for tests, is what it should say.
    if (type === "pseudotxn") assert.match(told.shift() ?? "", /is for tests/);
    assert.deepEqual(told, []);
    assert.ok(startable);
  });
}
