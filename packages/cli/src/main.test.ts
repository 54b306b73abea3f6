import {
  type Child,
  freePort,
  programCommand,
  startChild,
  tempDirectory,
  waitFor,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { access, mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { exitCode } from "./exit-code.ts";

const command = programCommand("cli/main");

/** Lines of files in `spool` through a memory channel to the log. */
async function writeConfig(
  context: TestContext,
  more = "",
): Promise<{ directory: string; file: string }> {
  const directory = await tempDirectory(context);
  await mkdir(join(directory, "spool"));
  const file = join(directory, "flume.conf");
  await writeFile(
    file,
    `a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = spooldir
a1.sources.r1.spoolDir = ${directory}/spool
a1.sources.r1.channels = c1
a1.channels.c1.type = memory
a1.sinks.k1.type = logger
a1.sinks.k1.channel = c1
${more}`,
  );
  return { directory, file };
}

function start(context: TestContext, ...words: string[]): Child {
  return startChild(context, { command: [...command, ...words] });
}

const started = "the agent has started";

test("an agent delivers, drains on SIGTERM, and ends with 0", async (context) => {
  const { directory, file } = await writeConfig(context);
  const port = await freePort();
  await writeFile(join(directory, "spool", "one.log"), "hello\nworld\n");
  const child = start(
    context,
    ...["agent", "-n", "a1", "-f", file, "-Dflume.root.logger=INFO,console", "-Xmx1g"],
    ...["-Dflume.monitoring.type=prometheus", `-Dflume.monitoring.port=${port}`],
    "-Dmillrace.role=edge",
  );
  await child.says("world");
  assert.match(child.output(), /INFO {2}millrace -Xmx1g has no effect/);
  assert.match(child.output(), /INFO {2}config r1 -> c1 -> k1: lost if /);
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  assert.match(
    text,
    /millrace_source_accepted_events_total\{agent="a1",role="edge",component="r1",type="spooldir"\} 2/,
  );
  assert.equal((await fetch(`http://127.0.0.1:${port}/readyz`)).status, 200);
  child.signal("SIGHUP");
  await child.says("the configuration was read again: nothing in it has changed");
  child.signal("SIGTERM");
  assert.deepEqual(await child.exited(), { code: exitCode.ok, signal: null });
  assert.match(child.output(), /the agent drains/);
  assert.match(child.output(), /the agent has stopped\n$/);
});

test("a configuration with errors ends with 2, and says each at its line", async (context) => {
  const { file } = await writeConfig(
    context,
    "a1.sinks.k1.typo = 1\na1.channels.c1.capacity = x\n",
  );
  const child = start(context, "agent", "-n", "a1", "-f", file);
  assert.equal((await child.exited()).code, exitCode.configuration);
  assert.match(child.output(), /WARN {2}config .*flume\.conf:10: a1\.sinks\.k1\.typo: unknown/);
  assert.match(child.output(), /ERROR config .*flume\.conf:11: a1\.channels\.c1\.capacity: "x" is/);
});

test("a lenient agent leaves the broken parts out, says so, and runs the rest", async (context) => {
  const more = "a1.sinks = k1 k2\na1.sinks.k2.type = hive\na1.sinks.k2.channel = c1\n";
  const { file } = await writeConfig(context, more);
  const child = start(context, "agent", "-n", "a1", "-f", file, "--lenient");
  await child.says(started);
  assert.match(child.output(), /ERROR config .*flume\.conf:11: a1\.sinks\.k2\.type: "hive" is not/);
  assert.match(child.output(), /ERROR config left out: sink k2/);
  child.signal("SIGINT");
  assert.equal((await child.exited()).code, exitCode.ok);
});

test("a component that does not start ends the agent with 3", async (context) => {
  const { file } = await writeConfig(context);
  const taken = createServer().listen(0, "127.0.0.1");
  context.after(() => void taken.close());
  await waitFor("the port", () => taken.listening);
  const { port } = taken.address() as { port: number };
  const child = start(
    context,
    ...["agent", "-n", "a1", "-f", file, "-Dflume.monitoring.type=http"],
    ...[`-Dflume.monitoring.port=${port}`, "-Dflume.monitoring.bind=127.0.0.1"],
  );
  assert.equal((await child.exited()).code, exitCode.start);
  assert.match(child.output(), /monitoring did not start: PORT_IN_USE .*todo="Stop the other/);
});

test("a mistake that nobody catches ends the agent with 4, with its stack in the log", async (context) => {
  const { file } = await writeConfig(context);
  const mistake = `const look = setInterval(() => {
    if (process.listenerCount("uncaughtException") === 0) return;
    clearInterval(look);
    setTimeout(() => { throw new TypeError("x is not y"); }, 1);
  }, 1);`;
  const [node = "", ...args] = command;
  const child = startChild(context, {
    command: [
      ...[node, `--import=data:text/javascript,${encodeURIComponent(mistake)}`, ...args],
      ...["agent", "-n", "a1", "-f", file],
    ],
  });
  assert.equal((await child.exited()).code, exitCode.fatal);
  assert.match(child.output(), /ERROR millrace a mistake in Millrace .*TypeError: x is not y\\n/);
});

test("a second signal ends a drain at once, with 128 and the signal's number", async (context) => {
  // Nothing listens there: the drain of the memory channel lasts until its deadline.
  const port = await freePort();
  const { directory, file } = await writeConfig(
    context,
    `a1.sinks.k1.type = avro\na1.sinks.k1.hostname = 127.0.0.1\na1.sinks.k1.port = ${port}\n`,
  );
  const spooled = join(directory, "spool", "one.log");
  await writeFile(spooled, "hello\n");
  const child = start(context, "agent", "-n", "a1", "-f", file, "-Dmillrace.drainSeconds=600");
  await waitFor("the file to be read", async () =>
    access(`${spooled}.COMPLETED`).then(
      () => true,
      () => false,
    ),
  );
  child.signal("SIGTERM");
  await child.says("the agent drains");
  child.signal("SIGTERM");
  assert.equal((await child.exited()).code, 128 + 15);
});

test("version loads neither zod nor core nor winston", async (context) => {
  const hooks = `import { writeSync } from "node:fs";
    export function load(url, context, next) { writeSync(2, "loaded " + url + "\\n"); return next(url, context); }`;
  const register = `import { register } from "node:module";
    register("data:text/javascript,${encodeURIComponent(hooks)}");`;
  const [node = "", ...args] = command;
  const listing = `--import=data:text/javascript,${encodeURIComponent(register)}`;
  const child = startChild(context, {
    command: [node, ...args.slice(0, -1), listing, args.at(-1) ?? "", "version"],
  });
  assert.equal((await child.exited()).code, exitCode.ok);
  const version = child.output();
  assert.match(version, /Millrace \d/);
  assert.match(version, /loaded file:.*\/commands\/version\.ts/);
  assert.doesNotMatch(version, /loaded .*(zod|winston|packages\/(core|agent|components))/);
});
