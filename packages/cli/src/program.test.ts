import { tempDirectory } from "@millrace/testing";
import assert from "node:assert/strict";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test from "node:test";
import { exitCode } from "./exit-code.ts";
import { runCommand } from "./program.ts";

async function run(line: string, program: "millrace" | "flume-ng" = "millrace") {
  let out = "";
  let err = "";
  const code = await runCommand(program, line === "" ? [] : line.split(" "), {
    out: (text) => void (out += `${text}\n`),
    err: (text) => void (err += `${text}\n`),
  });
  return { code, out, err };
}

test("version is one of the package", async () => {
  for (const line of ["version", "--version"]) {
    const { code, out } = await run(line);
    assert.equal(code, exitCode.ok);
    assert.match(out, /^Millrace \d+\.\d+\.\d+\nNode\.js \d/);
  }
});

test("help names every command, every option and every exit code", async () => {
  for (const line of ["help", "--help", "agent -h", "check --help"]) {
    const { code, out } = await run(line, "flume-ng");
    assert.equal(code, exitCode.ok);
    assert.match(out, /^usage: flume-ng <command>/);
    for (const word of ["agent", "check", "version", "--conf-file", "--lenient", "-D<name>"]) {
      assert.ok(out.includes(word), word);
    }
    for (const number of Object.values(exitCode))
      assert.match(out, new RegExp(`^  ${number}  `, "m"));
  }
});

for (const { line, want } of [
  { line: "", want: "millrace: no command given" },
  { line: "-n a1", want: "millrace: no command given" },
  { line: "fly", want: "millrace: unknown command fly" },
  { line: "tool", want: "millrace: tool is not supported in this version" },
  { line: "avro-client -H x", want: "millrace avro-client: give -H <host> and -p <port>" },
  { line: "agent -f x", want: "millrace agent: -n <agent> is missing" },
  { line: "check -n a1", want: "millrace check: -f <file> is missing" },
]) {
  test(`"millrace ${line}" says what is wrong, shows the help, and ends with 1`, async () => {
    const { code, out, err } = await run(line);
    assert.equal(code, exitCode.usage);
    assert.equal(out, "");
    assert.ok(err.startsWith(want), err);
    assert.match(err, /\nusage: millrace/);
  });
}

const config = `
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = spooldir
a1.sources.r1.spoolDir = spool
a1.sources.r1.batchSize = \${sys:size}
a1.sources.r1.channels = c1
a1.channels.c1.type = memory
a1.sinks.k1.type = null
a1.sinks.k1.channel = c1
`;

test("check and --dryrun print what each path guarantees, and touch nothing", async (context) => {
  const directory = await tempDirectory(context);
  const file = join(directory, "flume.conf");
  await writeFile(file, config);
  await writeFile(join(directory, "flume-env.sh"), 'export JAVA_OPTS="-Dsize=7"\n');
  const before = await readdir(directory);
  for (const line of ["check", "agent --dryrun", "node -d"]) {
    const { code, out, err } = await run(`${line} -n a1 -f ${file} -c ${directory}`);
    assert.deepEqual([code, err], [exitCode.ok, ""]);
    assert.match(out, /^r1 -> c1 -> k1: lost if .*memory channel c1.*; order kept\n$/);
  }
  assert.deepEqual(await readdir(directory), before);
});

test("check says of the command line's own words what an agent would say of them", async (context) => {
  const directory = await tempDirectory(context);
  const file = join(directory, "flume.conf");
  await writeFile(file, config);
  for (const line of ["check", "agent --dryrun"]) {
    const monitoring = "-Dflume.monitoring.type=prometheus -Dflume.monitoring.port=x";
    const wrong = await run(`${line} -n a1 -f ${file} -Dsize=7 ${monitoring}`);
    assert.equal(wrong.code, exitCode.configuration, "the agent would not start");
    assert.match(wrong.err, /^error: flume\.monitoring\.port=x is not a port/);
    const noted = await run(`${line} -n a1 -f ${file} -Dsize=7 -Xmx1g`);
    assert.equal(noted.code, exitCode.ok);
    assert.match(noted.err, /^note: -Xmx1g has no effect/);
  }
  for (const { word, code, said } of [
    { word: "millrace.handOver=collectors", code: exitCode.configuration, said: /^error: millrace\.handOver: .*port is missing/ }, // prettier-ignore
    { word: "millrace.drainSeconds=soon", code: exitCode.configuration, said: /^warning: millrace\.drainSeconds=soon is not/ }, // prettier-ignore
    { word: "millrace.reload=never", code: exitCode.configuration, said: /^warning: millrace\.reload=never is neither/ }, // prettier-ignore
    { word: "millrace.log.level=loud", code: exitCode.ok, said: /^note: log level loud is not/ },
  ]) {
    const told = await run(`check -n a1 -f ${file} -Dsize=7 -D${word}`);
    assert.equal(told.code, code, word);
    assert.match(told.err, said);
    assert.match(told.out, /^r1 -> c1 -> k1/, "the agent would run");
  }
});

test("check says what is wrong at its line, and ends with 2, for a warning too", async (context) => {
  const directory = await tempDirectory(context);
  const file = join(directory, "flume.conf");
  await writeFile(file, `${config}a1.sinks.k1.batchSiz = 1\na1.channels.c1.capacity = 0\n`);
  const both = await run(`check -n a1 -f ${file} -Dsize=7`);
  assert.deepEqual([both.code, both.out], [exitCode.configuration, ""]);
  assert.deepEqual(both.err.replaceAll(file, "flume.conf").trimEnd().split("\n"), [
    "note: flume.conf:8: a1.sources.r1.channels: channel c1 has errors of its own",
    "note: flume.conf:11: a1.sinks.k1.channel: channel c1 has errors of its own",
    "warning: flume.conf:12: a1.sinks.k1.batchSiz: unknown property; did you mean batchSize?",
    'error: flume.conf:13: a1.channels.c1.capacity: "0" is not a whole number, at least 1',
  ]);
  await writeFile(file, `${config}a1.sinks.k1.batchSiz = 1\n`);
  const warned = await run(`check -n a1 -f ${file} -Dsize=7`);
  assert.equal(warned.code, exitCode.configuration);
  assert.match(warned.out, /^r1 -> c1 -> k1: /);
});
