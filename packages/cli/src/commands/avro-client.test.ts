import { silentLog, systemClock, systemRuntime } from "@millrace/core";
import { createAvroServer } from "@millrace/rpc";
import {
  createFakeClock,
  freePort,
  programCommand,
  tempDirectory,
  waitFor,
  within,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { exitCode } from "../exit-code.ts";
import { runCommand } from "../program.ts";
import { parseAvroClientWords } from "../words/avro-client-options.ts";
import { splitWords } from "../words/split-words.ts";
import { runAvroClient } from "./avro-client.ts";

const never = new AbortController().signal;
const command = programCommand("cli/main");

/** An Avro source that keeps its requests as [headers, body] pairs. */
async function startSource(test: TestContext) {
  const requests: [Record<string, string>, string][][] = [];
  const source = { answer: "OK" as "OK" | "FAILED" | "nothing", okays: Infinity, asked: 0 };
  const server = createAvroServer({
    host: "127.0.0.1",
    port: 0,
    clock: systemClock,
    log: silentLog,
    handler(batch) {
      source.asked++;
      if (source.asked > source.okays && source.answer === "nothing") return new Promise(() => {});
      if (source.asked > source.okays) return Promise.resolve("FAILED");
      requests.push(
        [...batch].map(({ headers, body }) => [Object.fromEntries(headers), body.toString()]),
      );
      return Promise.resolve("OK");
    },
  });
  await server.start(never);
  test.after(() => server.stop(AbortSignal.abort()));
  const bodies = () => requests.flat().map(([, body]) => body);
  return Object.assign(source, { port: server.port, requests, bodies });
}

async function run(line: string, program: "millrace" | "flume-ng" = "millrace") {
  let out = "";
  let err = "";
  const code = await runCommand(program, ["avro-client", ...line.split(" ")], {
    out: (text) => void (out += `${text}\n`),
    err: (text) => void (err += `${text}\n`),
  });
  return { code, out, err };
}

for (const program of ["millrace", "flume-ng"] as const) {
  test(`${program} avro-client sends a file's lines, five in a request, and says how many`, async (t) => {
    const source = await startSource(t);
    const file = join(await tempDirectory(t), "in.log");
    await writeFile(file, "one\n\nthree\nf\u00fcnf\r\n5\n6\nlast");
    const { code, out, err } = await run(`-H 127.0.0.1 -p ${source.port} -F ${file}`, program);
    assert.deepEqual([code, out], [exitCode.ok, ""]);
    assert.match(err, /^sent 7 events, 26 bytes in \d+\.\d s, \d+ events\/s\n$/);
    // A last line without an end is known to be whole only at the end of the file.
    assert.deepEqual(source.requests.map((request) => request.length), [5, 1, 1]); // prettier-ignore
    assert.deepEqual(source.bodies(), ["one", "", "three", "fünf", "5", "6", "last"]);
  });
}

test("the headers of -R are the headers of every event, of a directory's files too", async (t) => {
  const source = await startSource(t);
  const directory = await tempDirectory(t);
  await writeFile(join(directory, "headers"), "host = web7\n__proto__ = x\n");
  await writeFile(join(directory, "in.log"), "a\nb\n");
  await mkdir(join(directory, "spool"));
  await writeFile(join(directory, "spool", "1.log"), "c\n");
  const where = `--host 127.0.0.1 --port ${source.port} -R ${directory}/headers`;
  assert.equal((await run(`${where} -F ${directory}/in.log`)).code, 0);
  assert.equal((await run(`${where} --dirname ${directory}/spool`)).code, 0);
  assert.deepEqual(source.bodies(), ["a", "b", "c"]);
  for (const [headers] of source.requests.flat()) {
    assert.deepEqual(Object.entries(headers), [["host", "web7"], ["__proto__", "x"]]); // prettier-ignore
  }
});

test("-P reads RPC client properties: batch size, several hosts", async (t) => {
  const source = await startSource(t);
  const directory = await tempDirectory(t);
  const dead = await freePort();
  await writeFile(
    join(directory, "client.properties"),
    `client.type = default_failover\nhosts = a b\nhosts.a = 127.0.0.1:${dead}\nhosts.b = 127.0.0.1:${source.port}\nbatch-size = 3\n`,
  );
  await writeFile(join(directory, "in.log"), "1\n2\n3\n4\n");
  const { code, err } = await run(
    `-P ${directory}/client.properties -H ignored -F ${directory}/in.log`,
  );
  assert.equal(code, exitCode.ok);
  assert.match(err, /^--host has no effect beside --rpcProps\nsent 4 events/);
  assert.deepEqual(source.requests.map((request) => request.length), [3, 1]); // prettier-ignore
});

test("a directory's files are renamed to .COMPLETED when they were acknowledged, not before", async (t) => {
  const source = await startSource(t);
  const spool = await tempDirectory(t);
  for (const name of ["1.log", "2.log"]) {
    await writeFile(join(spool, name), Array.from({ length: 12 }, (_, i) => `${name} ${i}\n`).join("")); // prettier-ignore
  }
  source.okays = 4;
  const line = `-H 127.0.0.1 -p ${source.port} --dirname ${spool}`;
  const failed = await run(line);
  assert.equal(failed.code, exitCode.fatal);
  assert.match(
    failed.err,
    /^sent 17 events, .*; then: RPC_STATUS_FAILED .*; 5 more were not acknowledged and may have arrived\n$/,
  );
  const names = async () => (await readdir(spool)).filter((name) => !name.startsWith(".")).sort();
  assert.deepEqual(await names(), ["1.log.COMPLETED", "2.log"]);
  source.okays = Infinity;
  const again = await run(line);
  assert.equal(again.code, exitCode.ok);
  assert.match(again.err, /^sent 7 events/, "it goes on where it stopped");
  assert.deepEqual(await names(), ["1.log.COMPLETED", "2.log.COMPLETED"]);
  assert.equal(source.bodies().length, 24);
  assert.equal(new Set(source.bodies()).size, 24);
});

test("a file that cannot be sent whole is set aside, said, and the exit code says so too", async (t) => {
  const source = await startSource(t);
  const spool = await tempDirectory(t);
  await writeFile(join(spool, "bad.log"), Buffer.from([0x61, 0x0a, 0xff, 0xfe, 0x0a]));
  await writeFile(join(spool, "good.log"), "good\n");
  const { code, err } = await run(`-H 127.0.0.1 -p ${source.port} --dirname ${spool}`);
  assert.equal(code, exitCode.fatal);
  assert.match(err, /bad\.log/);
  assert.ok(source.bodies().includes("good"));
});

test("when sending fails part way, it says how many were acknowledged and how many may have arrived", async (t) => {
  const source = await startSource(t);
  source.okays = 2;
  const file = join(await tempDirectory(t), "in.log");
  await writeFile(file, "x\n".repeat(13));
  const { code, err } = await run(`-H 127.0.0.1 -p ${source.port} -F ${file}`);
  assert.equal(code, exitCode.fatal);
  assert.match(
    err,
    /^sent 10 events, 20 bytes in .*; then: RPC_STATUS_FAILED .* answered FAILED to 3 events; 3 more/,
  );
});

test("what is missing or wrong is said before anything is sent", async (t) => {
  const directory = await tempDirectory(t);
  const { port } = await startSource(t);
  const dead = await freePort();
  const properties = join(directory, "client.properties");
  await writeFile(properties, "hosts = h1\nhosts.h1 = nowhere\nbatch-size = many\n");
  const here = `-H 127.0.0.1 -p ${port}`;
  for (const [line, code, says] of [
    [`${here} -F ${directory}/no.log`, 3, `nothing was sent: ${directory}/no.log: there is no such file`], // prettier-ignore
    [`${here} -F ${directory}`, 3, /is a directory; give it with --dirname/],
    [`${here} --dirname ${directory}/no`, 3, /nothing was sent: .*\/no/],
    [`${here} -R ${directory}/no -F ${properties}`, 3, /--headerFile .*: there is no such file/],
    [`-H 127.0.0.1 -p ${dead} -F ${properties}`, 3, /no connection to 127\.0\.0\.1:\d+: ECONNREFUSED/], // prettier-ignore
    [`-H no.such.host.invalid -p 4141 -F ${properties}`, 3, /no connection to no\.such\.host\.invalid:4141: (ENOTFOUND|EAI_AGAIN)/], // prettier-ignore
    [`-P ${properties} -F ${properties}`, 2, /client\.properties: batch-size: "many" is not a whole number/], // prettier-ignore
    [`-P ${directory}/no`, 3, /\/no: there is no such file/],
    [`${here} -F a --dirname b`, 1, "millrace avro-client: --filename and --dirname exclude each other"], // prettier-ignore
    ["-H x -p 99999", 1, "millrace avro-client: --port 99999 is not a port, 1 to 65535"],
    ["-p 4141", 1, "millrace avro-client: give -H <host> and -p <port>"],
    [`${here} --nonsense`, 1, "millrace avro-client: Unknown option '--nonsense'"],
  ] as const) {
    const ran = await run(line);
    const [first = ""] = ran.err.split("\n");
    assert.equal(ran.code, code, `${line}: ${first}`);
    if (typeof says === "string") assert.ok(first.startsWith(says), first);
    else assert.match(first, says);
  }
});

test("a line over maxFrameBytes is a clear error after the lines before it", async (t) => {
  const source = await startSource(t);
  const directory = await tempDirectory(t);
  const properties = join(directory, "client.properties");
  await writeFile(properties, `hosts=h\nhosts.h=127.0.0.1:${source.port}\nmaxFrameBytes=1024\n`);
  await writeFile(join(directory, "in.log"), `a\nb\n${"x".repeat(2000)}\nc\n`);
  const { code, err } = await run(`-P ${properties} -F ${directory}/in.log`);
  assert.equal(code, exitCode.fatal);
  assert.match(err, /^sent 2 events.*; then: EVENT_REJECTED .*in\.log, line 3: over 1024 bytes/);
  assert.deepEqual(source.bodies(), ["a", "b"]);
});

test("-h is the help, and names every option", async () => {
  const { code, out } = await run("-h");
  assert.equal(code, exitCode.ok);
  for (const word of ["-H,", "-p,", "-P,", "-F,", "--dirname", "-R,", "avro-client"]) {
    assert.ok(out.includes(word), word);
  }
});

test("on a terminal a long file shows bytes, percent, events and rate; elsewhere the last line only", async (t) => {
  const source = await startSource(t);
  const file = join(await tempDirectory(t), "in.log");
  await writeFile(file, "0123456789\n".repeat(40));
  const asked = parseAvroClientWords(
    splitWords(["avro-client", "-H", "127.0.0.1", "-p", String(source.port), "-F", file]),
  );
  assert.ok(asked !== "help" && !("problem" in asked));
  for (const isTerminal of [true, false]) {
    const clock = createFakeClock();
    const shown: string[] = [];
    const said: string[] = [];
    source.asked = 0;
    source.okays = 4;
    source.answer = "nothing";
    const interrupted = new AbortController();
    const ran = runAvroClient(
      asked,
      { out: () => {}, err: (text) => said.push(text) },
      {
        stdin: process.stdin,
        screen: { isTerminal, write: (text) => shown.push(text) },
        clock,
        files: systemRuntime.files,
        interrupted: interrupted.signal,
        systemProperties: new Map(),
      },
    );
    await waitFor("the fifth request", () => source.asked === 5);
    await clock.advance(1000);
    if (isTerminal) {
      assert.equal(shown.length, 4);
      assert.equal(shown[3], "\r\u001b[K220 bytes of 440 bytes (50 %), 20 events, 20 events/s");
    } else assert.deepEqual(shown, []);
    interrupted.abort(130);
    assert.equal(await ran, 130);
    assert.deepEqual(said, [
      "interrupted: sent 20 events, 220 bytes in 1.0 s, 20 events/s; 5 more were not acknowledged and may have arrived",
    ]);
    assert.equal(shown.at(-1), isTerminal ? "\r\u001b[K" : undefined);
  }
});

/** The program with a standard input that the test writes. */
function startWithInput(test: TestContext, port: number) {
  const [program = "", ...words] = [...command, "avro-client", "-H", "127.0.0.1", "-p", `${port}`];
  const child = spawn(program, words, { env: { ...process.env, NODE_TEST_CONTEXT: undefined } });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  }
  const ended = once(child, "close");
  test.after(() => void child.kill("SIGKILL"));
  return {
    stdin: child.stdin,
    interrupt: () => child.kill("SIGINT"),
    async ended() {
      const [code] = (await within("the end of the program", ended, 30_000)) as [number | null];
      return { code, output };
    },
  };
}

test("standard input is read as it comes; ^C says how many were sent, and ends with 130", async (t) => {
  const source = await startSource(t);
  const child = startWithInput(t, source.port);
  child.stdin.write("typed\n");
  await waitFor("the first event", () => source.bodies().length === 1, 30_000);
  child.stdin.write("more\nand");
  await waitFor("the second event", () => source.bodies().length === 2);
  child.interrupt();
  const { code, output } = await child.ended();
  assert.equal(code, 130);
  assert.match(output, /interrupted: sent 2 events, 11 bytes/);
});

test("when sending fails the program ends, though more could come on standard input", async (t) => {
  const source = await startSource(t);
  const child = startWithInput(t, source.port);
  child.stdin.write("taken\n");
  await waitFor("the first event", () => source.bodies().length === 1, 30_000);
  source.okays = 1;
  source.answer = "FAILED";
  child.stdin.on("error", () => {}).write("refused\n");
  const { code, output } = await child.ended();
  assert.equal(code, exitCode.fatal);
  assert.match(output, /sent 1 events, 6 bytes .*RPC_STATUS_FAILED .*1 more were not acknowledged/);
});

test("standard input to its end is sent whole", async (t) => {
  const source = await startSource(t);
  const child = startWithInput(t, source.port);
  const text = await readFile(new URL(import.meta.url), "utf8");
  child.stdin.end(text);
  assert.equal((await child.ended()).code, 0);
  assert.equal(`${source.bodies().join("\n")}\n`, text);
});
