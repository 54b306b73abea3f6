import { type Child, programCommand, startChild, tempDirectory } from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

/** A user that owns nothing here: the tests themselves may run as root, whom no permission stops. */
const nobody = 65_534;
const isRoot = process.getuid?.() === 0;

interface Situation {
  readonly folder: string;
  /** Starts the agent on the configuration and waits for its end. */
  readonly run: (configuration: string, as?: { readonly uid?: number }) => Promise<Child>;
}

async function situation(t: TestContext): Promise<Situation> {
  const folder = await tempDirectory(t);
  await chmod(folder, 0o755);
  return {
    folder,
    async run(configuration, as = {}) {
      const configFile = join(folder, "a1.conf");
      await writeFile(configFile, configuration);
      const command = [...programCommand("cli/main"), "agent", "-n", "a1", "-f", configFile];
      const environment = { HOME: folder };
      const child = startChild(t, { command, cwd: folder, environment, ...as });
      await child.exited(60_000);
      return child;
    },
  };
}

const avroToNull = (port: number | string, type = "avro"): string => `a1.sources = r
a1.channels = c
a1.sinks = k
a1.sources.r.type = ${type}
a1.sources.r.bind = 127.0.0.1
a1.sources.r.port = ${port}
a1.sources.r.channels = c
a1.channels.c.type = memory
a1.sinks.k.type = null
a1.sinks.k.channel = c
`;

function assertFails(child: Child, ...says: readonly (string | RegExp)[]): void {
  const output = child.output();
  assert.ok((child.exit?.code ?? 0) > 0, `${JSON.stringify(child.exit)}\n${output}`);
  for (const text of says) {
    const found = typeof text === "string" ? output.includes(text) : text.test(output);
    assert.ok(found, `no ${text} in\n${output}`);
  }
  assert.doesNotMatch(output, /\n {4}at /, "no stack for an operator's mistake");
}

void test("a port that is taken ends the start with the code, the component and the port", async (t) => {
  const { run } = await situation(t);
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  t.after(() => taken.close());
  const { port } = taken.address() as AddressInfo;
  assertFails(await run(avroToNull(port)), "PORT_IN_USE", String(port));
});

void test("an unknown type is named with file, line, property and the nearest known one", async (t) => {
  const { run } = await situation(t);
  const child = await run(avroToNull(0, "avor"));
  assertFails(child, /a1\.conf:4\b/, "a1.sources.r.type", /avor/, /\bavro\b/);
});

void test("every problem of a configuration is reported at once", async (t) => {
  const { run } = await situation(t);
  const child = await run(`${avroToNull("four", "avro")}a1.channels.c.capacity = -\n`);
  assertFails(
    child,
    /a1\.conf:6\b/,
    "a1.sources.r.port",
    /a1\.conf:11\b/,
    "a1.channels.c.capacity",
  );
});

void test("a configuration file that is not there is named", async (t) => {
  const folder = await tempDirectory(t);
  const missing = join(folder, "nowhere.conf");
  const child = startChild(t, {
    command: [...programCommand("cli/main"), "agent", "-n", "a1", "-f", missing],
  });
  await child.exited(60_000);
  assertFails(child, missing);
});

void test("an agent that the file does not define is named, with those it does", async (t) => {
  const { run } = await situation(t);
  const child = await run(avroToNull(0).replaceAll("a1.", "b2."));
  assertFails(child, "a1", "b2");
});

void test("a directory that the agent may not write to ends the start and is named", async (t) => {
  const { folder, run } = await situation(t);
  const locked = join(folder, "locked");
  await mkdir(locked, { mode: 0o555 });
  const child = await run(
    avroToNull(0).replace(
      "a1.sinks.k.type = null",
      `a1.sinks.k.type = file_roll\na1.sinks.k.sink.directory = ${locked}`,
    ),
    isRoot ? { uid: nobody } : {},
  );
  assertFails(child, "PERMISSION_DENIED", locked);
});

void test("a directory that does not exist ends the start and is named", async (t) => {
  const { folder, run } = await situation(t);
  const gone = join(folder, "gone");
  const child = await run(
    avroToNull(0).replace(
      "a1.sinks.k.type = null",
      `a1.sinks.k.type = file_roll\na1.sinks.k.sink.directory = ${gone}`,
    ),
  );
  assertFails(child, "PATH_MISSING", gone);
});
