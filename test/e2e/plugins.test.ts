/** The example of docs/plugins.md, run as it stands: an interceptor, two sinks and a selector of a user's. */
import {
  createAgentProcess,
  freePort,
  programCommand,
  projectRoot,
  startChild,
  tempDirectory,
  waitFor,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { test } from "node:test";

const example = join(projectRoot, "examples/plugins");

/** As the example's selector hashes. */
function chosen(header: string): string {
  let hash = 0;
  for (const letter of header) hash = (hash * 31 + (letter.codePointAt(0) ?? 0)) >>> 0;
  return hash % 2 === 0 ? "/a" : "/b";
}

void test("a user's interceptor, sinks and sink selector run: masked, sticky by file, failing over", async (t) => {
  const folder = await tempDirectory(t);
  const received: { path: string; method: string; lines: string[] }[] = [];
  let refused = "";
  let refusals = 0;
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      const { url: path = "", method = "" } = request;
      if (path === refused) {
        refusals++;
        response.writeHead(503).end();
        return;
      }
      received.push({ path, method, lines: body.split("\n").slice(0, -1) });
      response.end();
    });
  });
  const port = await freePort();
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });

  const logs = join(folder, "logs");
  await mkdir(logs);
  const write = async (round: string): Promise<void> => {
    for (let file = 0; file < 8; file++) {
      const lines = Array.from(
        { length: 50 },
        (_, i) => `${round} ${file}.${i} card 4111111111111111`,
      );
      await writeFile(join(logs, `app${file}.log`), `${lines.join("\n")}\n`, { flag: "a" });
    }
  };
  await write("first");
  const agent = await createAgentProcess(t, {
    name: "a1",
    configFile: join(example, "flume.conf"),
    defines: { logs, port, state: join(folder, "state") },
  });
  await agent.start();
  const lines = (): string[] => received.flatMap((request) => request.lines);
  await waitFor("the first lines", () => lines().length >= 400, 30_000);
  assert.equal(new Set(lines()).size, 400);
  assert.ok(
    lines().every((line) => /^first \d\.\d+ card x{12}1111$/.test(line)),
    lines()[0],
  );
  for (const { path, method, lines: own } of received) {
    assert.equal(method, path === "/a" ? "POST" : "PUT");
    // A batch may hold lines of several files: the first event's chose the sink.
    const file = /^first (\d)\./.exec(own[0] ?? "")?.[1] ?? "";
    assert.equal(path, chosen(join(logs, `app${file}.log`)), `file ${file}`);
  }

  refused = "/a";
  await write("second");
  await waitFor("the second lines", () => lines().length >= 800, 30_000);
  const second = new Set(lines().filter((line) => line.startsWith("second")));
  assert.equal(second.size, 400);
  assert.ok(refusals >= 1);
  await agent.kill("SIGTERM");
});

void test("check says of plugins' options what it says of ours", async (t) => {
  const folder = await tempDirectory(t);
  await cp(join(example, "acme.mjs"), join(folder, "acme.mjs"));
  const conf = join(folder, "flume.conf");
  const good = await readFile(join(example, "flume.conf"), "utf8");
  await writeFile(
    conf,
    good
      .replace("selector.header", "selector.heade")
      .replace("k1.url = http://127.0.0.1:", "k1.url = 127.0.0.1 ")
      .replace("k2.method = PUT", "k2.method = GET")
      .replace("#mask", "#msk"),
  );
  const run = startChild(t, {
    command: [...programCommand("cli/main"), "check", "-n", "a1", "-f", conf],
  });
  assert.deepEqual(await run.exited(), { code: 2, signal: null }, run.output());
  for (const says of [
    /mask\.type: \.\/acme\.mjs exports no interceptor msk; it exports interceptor mask, sink sink, /,
    /k1\.url: "127\.0\.0\.1 8080\/a" is not a whole URL/,
    /k2\.method: "GET" is not a POST or PUT/,
    /selector\.heade: unknown property; did you mean header\?/,
  ]) {
    assert.match(run.output(), says);
  }
});

void test("with --plugins-path a folder's plugins answer to their types and Java class names", async (t) => {
  const folder = await tempDirectory(t);
  await mkdir(join(folder, "plugins.d"));
  await cp(join(example, "acme.mjs"), join(folder, "plugins.d/acme.mjs"));
  const conf = join(folder, "flume.conf");
  const good = await readFile(join(example, "flume.conf"), "utf8");
  const asJava = good
    .replace("./acme.mjs#mask", "com.acme.flume.MaskInterceptor$Builder")
    .replace("k1.type = ./acme.mjs", "k1.type = com.acme.flume.HttpSink")
    .replace("k2.type = ./acme.mjs", "k2.type = acme_http")
    .replace("selector = ./acme.mjs", "selector = com.acme.flume.StickySinkSelector");
  assert.doesNotMatch(asJava, /acme\.mjs$/m);
  await writeFile(conf, asJava);
  const words = ["check", "-n", "a1", "-f", conf];
  const without = startChild(t, { command: [...programCommand("cli/main"), ...words] });
  assert.deepEqual(await without.exited(), { code: 2, signal: null });
  assert.match(without.output(), /it names a Java class, and no Java runs here: port it as docs/);
  const run = startChild(t, {
    command: [...programCommand("cli/main"), ...words, "--plugins-path", join(folder, "plugins.d")],
  });
  assert.deepEqual(await run.exited(), { code: 0, signal: null }, run.output());
  assert.match(run.output(), /at least once: taildir -> file -> acme_http/);
});
